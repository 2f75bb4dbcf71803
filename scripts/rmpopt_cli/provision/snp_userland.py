# SPDX-License-Identifier: GPL-2.0-or-later
"""A userland for the emulated host in which SNP guests can be started: Debian's QEMU and OVMF, with busybox."""
import shutil
from pathlib import Path

from ..base.errors import Failure
from . import qemu
from .archive import TRIXIE, Archive
from .cache import Cache

KIND = "snp-userland"
PACKAGES = (*qemu.PACKAGES, "ovmf")
FIRMWARE = "/usr/share/ovmf/OVMF.fd"
MERGED = ("bin", "lib", "lib64", "sbin")  # base-files makes these links, and is no dependency


def ensure(cache: Cache, busybox: Path) -> Path:
    """The top of the userland: the newest in the cache, or made from the archive."""
    entry = cache.newest(KIND) or _make(cache, busybox)
    return entry / "root"


def _make(cache: Cache, busybox: Path) -> Path:
    archive = Archive(cache, TRIXIE)
    versions = [archive.candidate(name) for name in ("qemu-system-x86", "ovmf")]
    if None in versions:
        raise Failure(f"the archive has no {' or no '.join(PACKAGES)}: guest boot needs them")

    def make(where: Path) -> None:
        root = where / "root"
        archive.unpack_closure(PACKAGES, "downloading QEMU and OVMF for the emulated host", root)
        for name in MERGED:
            (root / name).symlink_to(f"usr/{name}")
        shutil.copy2(busybox, root / "usr/bin/busybox")
        (root / "usr/bin/sh").symlink_to("busybox")
    return cache.ensure(KIND, "_".join(str(version).replace(":", "_") for version in versions), make)
