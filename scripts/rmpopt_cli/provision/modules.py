# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds a kernel's modules and the ones that they need."""
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ..base.errors import BadInput, Failure
from ..base.shell import last_line, output

# By their names in the kernel; the options that make them.
FOR_SNP = {"ccp": "CONFIG_CRYPTO_DEV_CCP_DD", "kvm_amd": "CONFIG_KVM_AMD"}
FOR_DEVICES = {"virtio_pci": "CONFIG_VIRTIO_PCI", "9pnet_virtio": "CONFIG_NET_9P_VIRTIO", "9p": "CONFIG_9P_FS",
               "overlay": "CONFIG_OVERLAY_FS", "virtio_blk": "CONFIG_VIRTIO_BLK", "nvme": "CONFIG_BLK_DEV_NVME",
               "ext4": "CONFIG_EXT4_FS", "virtio_net": "CONFIG_VIRTIO_NET",
               "virtio_console": "CONFIG_VIRTIO_CONSOLE"}
OPTIONS = FOR_SNP | FOR_DEVICES
FILE = re.compile(r"(.+)\.ko(?:\.(?:xz|zst|gz))?")


def in_kernel(name: str) -> str:
    """A module's name as the kernel writes it."""
    return name.replace("-", "_")


def name_of(module: Path) -> str:
    """Its name in the kernel."""
    found = FILE.fullmatch(module.name)
    return in_kernel(found[1]) if found else ""


def files(directory: Path) -> dict[str, Path]:
    """All modules below a directory, which may be lib/modules/VERSION or a tree in which a kernel was built."""
    found: dict[str, Path] = {}
    for place, folders, names in os.walk(directory):
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        for path in (Path(place, name) for name in sorted(names)):
            found.setdefault(name_of(path), path)
    found.pop("", None)  # what is no module
    if not found:
        raise BadInput(f"no modules (*.ko) in {directory}: give lib/modules/VERSION, or run 'make modules' in the tree")
    return found


def needed_by(module: Path) -> list[str]:
    status, text, problem = output(["/sbin/modinfo", "-F", "depends", module])
    if status != 0:
        raise Failure(f"modinfo {module}: {last_line(problem)}: is the file complete, and is kmod installed?")
    return [name for name in text.strip().split(",") if name]


def not_built_in(names: Iterable[str], options: Mapping[str, str]) -> list[str]:
    """Those that are modules by a kernel's .config, which may be unknown: then any of them may be one."""
    return [name for name in names if options.get(OPTIONS[name], "" if options else "m") == "m"]


def missing(directory: Path, wanted: Iterable[str]) -> list[str]:
    """Those that are not there."""
    found = files(directory)
    return [name for name in wanted if name not in found]


def in_order(directory: Path, wanted: Iterable[str] = tuple(FOR_SNP),
             needs: Callable[[Path], list[str]] = needed_by) -> list[Path]:
    """The files of the wanted modules and of the modules that they need, dependencies first. Wanted modules that are
    not there are left out, because they may be built in."""
    wanted = [*wanted]
    found = files(directory) if wanted else {}
    chosen: list[Path] = []

    def choose(name: str, user: str) -> None:
        if name not in found:
            raise BadInput(f"module {user} in {directory} needs {name}, which is not there: build all modules")
        if found[name] in chosen:
            return
        for other in needs(found[name]):
            choose(in_kernel(other), name)
        chosen.append(found[name])

    for name in wanted:
        if name in found:
            choose(name, "")
    return chosen
