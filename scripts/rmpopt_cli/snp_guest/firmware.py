# SPDX-License-Identifier: GPL-2.0-or-later
"""The firmware of an SNP guest: Debian's OVMF, our own that starts the kernel directly, or the user's."""
import shutil
from pathlib import Path

from ..base.errors import BadInput
from ..base.paths import BUILD
from ..provision import image, project, snp_userland
from ..provision.cache import Cache
from . import measurement

OVMF, DIRECT = "ovmf", "direct"
IMAGE = Path("guest-tests", "direct-boot.bin")  # below BUILD
GIVEN = "firmware.fd"  # the name of the user's among the guest's files
UNIT = 64 << 10  # of a size that QEMU loads


def check(firmware: str) -> None:
    if firmware in (OVMF, DIRECT):
        return
    path = Path(firmware)
    image.check_readable(path, "--firmware")
    if path.stat().st_size % UNIT:
        raise BadInput(f"--firmware {path}: QEMU loads no firmware of {path.stat().st_size} bytes: it must be a "
                       "multiple of 64 KiB")


def name(firmware: str) -> str:
    """As QEMU in the emulated host names it."""
    return {OVMF: snp_userland.FIRMWARE, DIRECT: IMAGE.name}.get(firmware, GIVEN)


def takes_hashes(firmware: str) -> bool:
    """Whether QEMU is to measure kernel, initrd and command line: the firmware compares them with what it loads."""
    return firmware == DIRECT or firmware != OVMF and measurement.takes_hashes(Path(firmware).read_bytes())


def find(cache: Cache, firmware: str, userland: Path) -> Path:
    """The image, on this machine."""
    if firmware == OVMF:
        return userland.joinpath(snp_userland.FIRMWARE.lstrip("/"))
    if firmware != DIRECT:
        return Path(firmware)
    project.build(cache, [IMAGE])
    return BUILD / IMAGE


def write(cache: Cache, firmware: str, directory: Path) -> None:
    """Beside the other files of the guest, unless the userland has it."""
    if firmware != OVMF:
        shutil.copyfile(find(cache, firmware, directory), directory / name(firmware))
