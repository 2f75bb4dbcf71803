# SPDX-License-Identifier: GPL-2.0-or-later
"""Progress messages on stderr; stdout carries only results."""
import contextlib
import io
import os
import sys
import threading
import time
from typing import Any

WIDTH = 110
STDOUT = "stdout"  # as the name of a file


def _tell(text: str) -> None:
    """Progress that nobody can read any more does not end the work."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)
            sys.stderr.flush()


class _Stdout(io.FileIO):
    """A write that fails names the file, as with any other."""
    written = 0  # bytes

    def write(self, data: Any) -> int:
        try:
            done = super().write(data)
            self.written += done
            return done
        except OSError as problem:
            problem.filename = STDOUT
            raise


def named_stdout() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedWriter(_Stdout(1, "w", closefd=False)), sys.stdout.encoding, sys.stdout.errors,
                            line_buffering=sys.stdout.line_buffering or sys.stdout.write_through)


def nothing_printed() -> bool:
    """Whether stdout is still empty."""
    sys.stdout.flush()
    return not (isinstance(sys.stdout, io.TextIOWrapper) and isinstance(sys.stdout.buffer, io.BufferedWriter) and
                isinstance(sys.stdout.buffer.raw, _Stdout) and sys.stdout.buffer.raw.written)


def drop_output() -> None:
    """What could not be written to stdout would be tried again when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class _Line:
    """The one line that all running phases share."""

    INTERVAL_TTY = 0.2
    INTERVAL_LOG = 15.0

    def __init__(self) -> None:
        self.guard = threading.RLock()
        self.phases: list[Progress] = []
        self.remaining: list[str] = []
        self._last = 0.0
        self._drawn = False

    def print(self, text: str) -> None:
        """A line of its own, which does not get mixed up with the one that is redrawn."""
        with self.guard:
            erase = "\r\033[K" if self._drawn else ""
            self._drawn = False
            _tell(erase + text + "\n")

    def draw(self) -> None:
        with self.guard:
            now, tty = time.monotonic(), sys.stderr.isatty()
            begun = [phase.start for phase in self.phases]
            if now - max([self._last, *begun]) < (self.INTERVAL_TTY if tty else self.INTERVAL_LOG):
                return
            self._last = now
            text = self._text(now)
            _tell(f"\r\033[K{text[:WIDTH]}" if tty else text + "\n")
            self._drawn = tty

    def _text(self, now: float) -> str:
        details = [f"{phase.detail} ({now - phase.start:.0f} s)" if len(self.phases) == 1 else
                   f"{phase.title}: {phase.detail or '...'} ({now - phase.start:.0f} s)" for phase in self.phases]
        still = f"; still to do: {', '.join(self.remaining)}" if self.remaining else ""
        return f"    {' | '.join(details)}{still}"


_line = _Line()


class Progress:
    """One phase that takes a while. On a terminal the line is redrawn, elsewhere it is
    printed again every few seconds so that a log shows life without growing long.
    Phases of several threads share the line."""

    def __init__(self, title: str) -> None:
        self.title, self.detail = title, ""
        self.start = time.monotonic()
        with _line.guard:
            _line.phases.append(self)
        say(title)

    def update(self, detail: str) -> None:
        self.detail = detail
        _line.draw()

    def done(self, detail: str = "done") -> None:
        with _line.guard:
            alone = _line.phases == [self]
            if self in _line.phases:
                _line.phases.remove(self)
        which = "" if alone else f"{self.title}: "
        _line.print(f"    {which}{detail} ({time.monotonic() - self.start:.0f} s)")


def remaining(steps: list[str]) -> None:
    """What the line of progress names as still to do, the phases that run now included."""
    with _line.guard:
        _line.remaining = steps


def finished(step: str) -> None:
    with _line.guard:
        _line.remaining = [other for other in _line.remaining if other != step]


def say(text: str) -> None:
    """Announces a phase."""
    _line.print(f"==> {text}")


def note(text: str) -> None:
    _line.print(f"    {text}")


def warn(text: str) -> None:
    _line.print(f"rmpopt: warning: {text}")


def error(text: str) -> None:
    _line.print(f"rmpopt: error: {text}")
