# SPDX-License-Identifier: GPL-2.0-or-later
"""Symbol names for kernel addresses, from System.map or vmlinux."""
import bisect
import re
from pathlib import Path

from ..base.errors import BadInput
from ..base.shell import output

LINE = re.compile(r"^([0-9a-f]{16}) [tTwW] (\S+)$", re.M)
ENTRY = "entry_SYSCALL_64"  # MSR_LSTAR holds its address, which gives the offset of KASLR


class Symbols:
    def __init__(self, text: str) -> None:
        entries = sorted((int(address, 16), name) for address, name in LINE.findall(text))
        self._addresses = [address for address, _ in entries]
        self._names = [name for _, name in entries]
        self._entry = next((address for address, name in entries if name == ENTRY), None)

    def __bool__(self) -> bool:
        return bool(self._names)

    def at(self, address: int, lstar: int = 0) -> str | None:
        """A name such as "function+0x12"; None for addresses outside the kernel's text."""
        moved = lstar - self._entry if lstar and self._entry is not None else 0
        index = bisect.bisect_right(self._addresses, address - moved) - 1
        if index < 0 or index == len(self._names) - 1:
            return None
        return f"{self._names[index]}+{address - moved - self._addresses[index]:#x}"


def load(path: Path) -> Symbols:
    with path.open("rb") as stream:
        is_elf = stream.read(4) == b"\x7fELF"
    status, text, _ = output(["nm", path]) if is_elf else (0, path.read_text(errors="replace"), "")
    symbols = Symbols(text)
    if status != 0 or not symbols:
        raise BadInput(f"--symbols {path}: no symbols in it: give a System.map or an unstripped vmlinux")
    return symbols


def for_kernel(given: Path | None, kernel: Path) -> Symbols | None:
    """The symbols that the user gave, or those beside the kernel image."""
    beside = kernel.parent / "System.map"
    if given:
        return load(given)
    try:
        return load(beside) if beside.is_file() else None
    except (BadInput, OSError):
        return None
