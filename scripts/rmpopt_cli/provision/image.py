# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks a kernel image before QEMU starts, to give a better error message than QEMU's."""
import struct
from collections.abc import Iterable
from pathlib import Path

from ..base.errors import BadInput

BOOT_MAGIC = b"HdrS"
MAGIC_AT = 0x202
SECTS_AT = 0x1F1
SYSSIZE_AT = 0x1F4
LOADFLAGS_XLF_AT = 0x236
UKI_SECTION = b".linux\0\0"  # in the table of sections of a PE image
HEADERS_END = 0x1000
ADVICE = "give a bzImage (arch/x86/boot/bzImage, /boot/vmlinuz-*), the tree where one was built, or linux-image-*.deb"


def check_kernel(path: Path) -> None:
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head, more = stream.read(0x264), stream.read(HEADERS_END - 0x264)
    except OSError as problem:
        raise BadInput(f"kernel {path}: {problem.strerror}: {ADVICE}") from problem
    if head[:4] == b"\x7fELF":
        raise BadInput(f"kernel {path} is an ELF file (vmlinux): {ADVICE}")
    if head[:2] == b"MZ" and UKI_SECTION in head + more:
        raise BadInput(f"kernel {path} is a unified kernel image: take the kernel out of it with 'objcopy -O binary "
                       "--only-section=.linux UKI vmlinuz' (.initrd for --initrd, .cmdline for --append)")
    if head[4:8] == b"zimg":
        raise BadInput(f"kernel {path} is an EFI zboot image of another architecture: {ADVICE}")
    if len(head) < 0x264 or head[MAGIC_AT:MAGIC_AT + 4] != BOOT_MAGIC:
        raise BadInput(f"kernel {path} is not an x86 Linux kernel image: {ADVICE}")
    if not head[LOADFLAGS_XLF_AT] & 1:
        raise BadInput(f"kernel {path} is not a 64-bit kernel: {ADVICE}")
    expected = ((head[SECTS_AT] or 4) + 1) * 512 + struct.unpack_from("<I", head, SYSSIZE_AT)[0] * 16
    if size < expected - 512:
        raise BadInput(f"kernel {path} is truncated ({size} of {expected} bytes): copy it again")


def check_files(files: Iterable[Path]) -> None:
    """Those that are to go to the guest's /root."""
    names: set[str] = set()
    for path in files:
        check_readable(path, "file")
        if path.name in names:
            raise BadInput(f"--file: two files are named {path.name}: rename one, both go to /root")
        names.add(path.name)


def check_readable(path: Path, what: str) -> None:
    try:
        with path.open("rb") as stream:
            if not stream.read(1):
                raise BadInput(f"{what} {path} is empty")
    except OSError as problem:
        raise BadInput(f"{what} {path}: {problem.strerror}: check the path") from problem
