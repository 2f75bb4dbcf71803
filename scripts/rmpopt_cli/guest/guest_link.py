# SPDX-License-Identifier: GPL-2.0-or-later
"""Parses what the guest's init writes to the second serial port."""
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Section:
    name: str
    content: bytes = b""
    status: int | None = None  # None: unfinished, or cut off by a restart of the guest


@dataclass
class GuestLink:
    """Takes bytes as they arrive. Our lines begin with a NUL and a token that the guest's programs do not know. They
    may follow anything, also what an earlier kernel left unfinished."""
    token: str
    on_output: Callable[[bytes], None] = lambda data: None  # called with the command's output
    on_section: Callable[[Section], None] = lambda section: None
    words: list[list[str]] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    _pending: bytes = b""
    _before: int = 0  # number of sections from earlier kernels
    _open: Section | None = None
    _current: set[str] = field(default_factory=set)
    LIVE = "output"
    # After these words somebody else is at work in the guest.
    OTHERS = (["hello"], ["shell"], ["handover"])

    def feed(self, data: bytes) -> None:
        self._pending += data
        while self._step():
            pass

    def said(self, word: str) -> list[str] | None:
        return next((w for w in self.words if w[0] == word), None)

    @property
    def starts(self) -> int:
        """How many kernels have reached init."""
        return sum(words == ["hello"] for words in self.words)

    @property
    def command_runs(self) -> bool:
        return self._open is not None and self._open.name == self.LIVE

    def text(self, name: str) -> str:
        """All sections of a name, concatenated, whether or not they are finished."""
        return b"".join(s.content for s in self.sections if s.name == name).decode(errors="replace")

    def section(self, name: str) -> Section | None:
        """The last finished section of a name from the running kernel."""
        recent = reversed(self.sections[self._before:])
        return next((s for s in recent if s.name == name and s.status is not None), None)

    def is_current(self, name: str) -> bool:
        """Whether the last section of a name tells how the guest is now: nothing has run in it since, and it has not
        ended in another way than by saying that it is done."""
        return name in self._current and self.said("done") is not None

    def _step(self) -> bool:
        return self._inside(self._open) if self._open else self._outside()

    def _mark(self, words: str = "") -> bytes:
        return f"\0@{self.token} {words}".encode()

    def _outside(self) -> bool:
        line, newline, rest = self._pending.partition(b"\n")
        if not newline:
            return False
        self._pending = rest
        _, mark, told = line.rpartition(self._mark())
        words = told.decode(errors="replace").split() if mark else []
        if words[:1] == ["begin"] and len(words) == 2:
            self._begin(words[1])
        elif words:
            self.words.append(words)
            if words in self.OTHERS:
                self._current.clear()
            if words == ["hello"]:
                self._before = len(self.sections)
        return True

    def _inside(self, section: Section) -> bool:
        end, hello = self._mark(f"end {section.name} "), self._mark("hello\n")
        at, new_start = self._pending.find(end), self._pending.find(hello)
        if new_start >= 0 and (at < 0 or new_start < at):
            self._take(section, new_start)
            self._finish(section, None)
            return True
        if at < 0:
            last = self._pending.rfind(b"\0")  # perhaps of a mark that has arrived in part
            begun = last >= 0 and any(mark.startswith(self._pending[last:]) for mark in (end, hello))
            self._take(section, last if begun else len(self._pending))
            return False
        self._take(section, at)
        line, newline, rest = self._pending.partition(b"\n")
        if not newline:
            return False
        self._finish(section, int(line.removeprefix(end)))
        self._pending = rest
        return True

    def _begin(self, name: str) -> None:
        self._open = Section(name)
        self.sections.append(self._open)
        if name == self.LIVE:
            self._current.clear()

    def _finish(self, section: Section, status: int | None) -> None:
        section.status = status
        self._current.add(section.name)
        self._open = None
        self.on_section(section)

    def _take(self, section: Section, length: int) -> None:
        data, self._pending = self._pending[:length], self._pending[length:]
        section.content += data
        if section.name == self.LIVE and data:
            self.on_output(data)
