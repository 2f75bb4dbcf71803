# SPDX-License-Identifier: GPL-2.0-or-later
"""Progress on stderr; stdout is left to results."""
import sys
import time


class Progress:
    """One phase that takes a while. On a terminal the line is redrawn, elsewhere it is
    printed again every few seconds so that a log shows life without growing long."""

    INTERVAL_TTY = 0.2
    INTERVAL_LOG = 15.0

    def __init__(self, title: str) -> None:
        self._title = title
        self._start = time.monotonic()
        self._last = 0.0
        self._tty = sys.stderr.isatty()
        self._drawn = False
        say(title)

    def update(self, detail: str) -> None:
        now = time.monotonic()
        interval = self.INTERVAL_TTY if self._tty else self.INTERVAL_LOG
        if now - max(self._last, self._start) < interval:
            return
        self._last = now
        line = f"    {detail} ({now - self._start:.0f} s)"
        if self._tty:
            print(f"\r\033[K{line[:110]}", end="", file=sys.stderr, flush=True)
            self._drawn = True
        else:
            print(line, file=sys.stderr, flush=True)

    def done(self, detail: str = "done") -> None:
        if self._drawn:
            print("\r\033[K", end="", file=sys.stderr)
        print(f"    {detail} ({time.monotonic() - self._start:.0f} s)", file=sys.stderr, flush=True)


def say(text: str) -> None:
    """Announces a phase."""
    print(f"==> {text}", file=sys.stderr, flush=True)


def note(text: str) -> None:
    print(f"    {text}", file=sys.stderr, flush=True)


def warn(text: str) -> None:
    print(f"rmpopt: warning: {text}", file=sys.stderr, flush=True)


def error(text: str) -> None:
    print(f"rmpopt: error: {text}", file=sys.stderr, flush=True)
