# SPDX-License-Identifier: GPL-2.0-or-later
"""Provides Debian's own kernel, for users without a patched one, and the modules of any kernel."""
import functools
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from ..base.console import say
from ..base.errors import BadInput, Failure
from ..base.shell import last_line, output
from .archive import BINARY_SUITES, Archive, unpack_deb
from .cache import Cache

WANTED_MODULES = ("ccp", "kvm_amd")
OLDEST = (7, 3)
META_PACKAGE = "linux-image-amd64"


@dataclass
class Kernel:
    image: Path
    modules: list[Path] = field(default_factory=list)  # in the order of loading


def modules_in_order(directory: Path, wanted: tuple[str, ...] = WANTED_MODULES) -> list[Path]:
    """The files of the wanted modules and of the modules that they need, dependencies first."""
    listing = directory / "modules.dep"
    if not listing.is_file():
        raise BadInput(f"--modules {directory}: no modules.dep there: give lib/modules/VERSION, after depmod")
    needs = {}
    for line in listing.read_text().splitlines():
        name, _, rest = line.partition(":")
        needs[name] = rest.split()
    chosen: list[str] = []
    for name in wanted:
        found = next((path for path in needs if _stem(path) == name), None)
        if found:
            chosen += [path for path in [*reversed(needs[found]), found] if path not in chosen]
    return [directory / path for path in chosen]


def _stem(path: str) -> str:
    return Path(path).name.partition(".ko")[0].replace("-", "_")


def _release(archive: Archive) -> str | None:
    text = archive.query("depends", META_PACKAGE)
    found = re.search(r"Depends: linux-image-(\d+\.\d+\S*)", text)
    return found.group(1) if found else None


def _packages(archive: Archive, release: str) -> list[str]:
    """The image package, and its parts if Debian splits it."""
    text = archive.query("depends", f"linux-image-{release}")
    parts = re.findall(rf"Depends: (linux-(?:binary|modules)-{re.escape(release)})$", text, re.M)
    return [f"linux-image-{release}", *parts]


def _make(archive: Archive, release: str, where: Path) -> None:
    for package in _packages(archive, release):
        unpack_deb(archive.fetch(package, f"downloading {package}"), where / "unpacked")
    modules = next((where / "unpacked").glob("**/lib/modules/" + release))
    say("indexing kernel modules")
    base = modules.parents[2]
    (base / "usr").symlink_to(".")  # newer versions of depmod look below usr/lib
    status, _, problem = output(["/sbin/depmod", "-b", base, release], timeout=300)
    if status != 0:
        raise Failure(f"depmod: {last_line(problem)}: run 'sudo apt-get install kmod'")
    images = [*modules.glob("vmlinuz"), *(where / "unpacked").glob("boot/vmlinuz-*")]
    if not images:
        raise Failure(f"linux-image-{release} holds no kernel image")
    shutil.copy2(images[0], where / "vmlinuz")
    modules.rename(where / "modules")
    shutil.rmtree(where / "unpacked")


def ensure(cache: Cache) -> Kernel:
    """The newest suitable Debian kernel, from the cache or from the archive."""
    entry = cache.newest("debian-kernel") or _fetch(cache)
    return Kernel(entry / "vmlinuz", modules_in_order(entry / "modules"))


def _fetch(cache: Cache) -> Path:
    for suites in BINARY_SUITES:
        archive = Archive(cache, suites)
        release = _release(archive)
        if release and tuple(int(n) for n in re.findall(r"\d+", release)[:2]) >= OLDEST:
            return cache.ensure("debian-kernel", release, functools.partial(_make, archive, release))
    raise Failure(f"the archive has no linux-image {OLDEST[0]}.{OLDEST[1]} or newer: give a kernel with --kernel")
