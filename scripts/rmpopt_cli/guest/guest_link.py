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
    """Takes bytes as they arrive. Our lines begin with a token that the guest's programs do not know."""
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

    def text(self, name: str) -> str:
        """All sections of a name, concatenated. The last section of an earlier kernel may be unfinished."""
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

    def _outside(self) -> bool:
        line, newline, rest = self._pending.partition(b"\n")
        if not newline:
            return False
        self._pending = rest
        mark = f"@{self.token} ".encode()
        if line.startswith(mark):
            words = line[len(mark):].decode(errors="replace").split()
            if words[:1] == ["begin"] and len(words) == 2:
                self._open = Section(words[1])
                if words[1] == self.LIVE:
                    self._current.clear()
            elif words:
                self.words.append(words)
                if words in self.OTHERS:
                    self._current.clear()
                if words == ["hello"]:
                    self._before = len(self.sections)
        return True

    def _inside(self, section: Section) -> bool:
        mark = f"\n@{self.token} end {section.name} ".encode()
        at = self._pending.find(mark)
        hello = f"\n@{self.token} hello\n".encode()
        new_start = self._pending.find(hello)
        if new_start >= 0 and (at < 0 or new_start < at):
            self._take(section, self._pending[:new_start])
            self._pending = self._pending[new_start + 1:]
            self._finish(section, None)
            return True
        if at < 0:  # a mark may have arrived in part
            complete = max(0, len(self._pending) - max(len(mark), len(hello)) + 1)
            self._take(section, self._pending[:complete])
            self._pending = self._pending[complete:]
            return False
        line, newline, rest = self._pending[at + 1:].partition(b"\n")
        if not newline:
            return False
        self._take(section, self._pending[:at])
        self._finish(section, int(line.rsplit(b" ", 1)[1]))
        self._pending = rest
        return True

    def _finish(self, section: Section, status: int | None) -> None:
        section.status = status
        self.sections.append(section)
        self._current.add(section.name)
        self._open = None
        self.on_section(section)

    def _take(self, section: Section, data: bytes) -> None:
        section.content += data
        if section.name == self.LIVE and data:
            self.on_output(data)
