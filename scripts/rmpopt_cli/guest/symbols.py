# SPDX-License-Identifier: GPL-2.0-or-later
"""Symbol names for kernel addresses, from System.map or vmlinux."""
import bisect
import re
from fnmatch import fnmatchcase
from pathlib import Path

from ..base.errors import BadInput
from ..base.shell import output

LINE = re.compile(r"^([0-9a-f]{16}) [tTwW] (\S+)$", re.M)
PLACE = re.compile(r"(.+?)(?:\+0x([0-9a-f]+))?")
NO_FUNCTION = re.compile(r"__pfx_|__cfi_|__SCK__|__SCT__")  # what the compiler and static calls put beside functions
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

    # Distances from the kernel's entry of system calls, wherever KASLR has put it:

    def named(self, distance: int) -> str | None:
        return self.at(self._entry + distance) if self._entry is not None else None

    def distance(self, place: str) -> int | None:
        """Of "function" or "function+0x12"."""
        found = PLACE.fullmatch(place)
        if not found or self._entry is None or found.group(1) not in self._names:
            return None
        return self._addresses[self._names.index(found.group(1))] + int(found.group(2) or "0", 16) - self._entry

    def functions(self, glob: str) -> list[tuple[int, int]]:
        """Distance and size of the functions whose names match a pattern of the shell."""
        if self._entry is None:
            return []
        found = {}
        for address, name in zip(self._addresses, self._names):
            end = bisect.bisect_right(self._addresses, address)
            if fnmatchcase(name, glob) and not NO_FUNCTION.match(name) and end < len(self._addresses):
                found[address - self._entry] = self._addresses[end] - address
        return list(found.items())


def load(path: Path) -> Symbols:
    with path.open("rb") as stream:
        is_elf = stream.read(4) == b"\x7fELF"
    status, text, _ = output(["nm", path]) if is_elf else (0, path.read_text(errors="replace"), "")
    symbols = Symbols(text)
    if status != 0 or not symbols:
        raise BadInput(f"--symbols {path}: no symbols in it: give a System.map or an unstripped vmlinux")
    return symbols


def for_kernel(given: Path | None, kernel: Path) -> Symbols | None:
    """The symbols that the user gave, or those beside the kernel image or at the top of the tree where it was built."""
    was_built_here = kernel.parts[-4:-1] == ("arch", "x86", "boot")
    beside = (kernel.parents[3] if was_built_here else kernel.parent) / "System.map"
    if given:
        return load(given)
    try:
        return load(beside) if beside.is_file() else None
    except (BadInput, OSError):
        return None
