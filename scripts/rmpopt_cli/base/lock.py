# SPDX-License-Identifier: GPL-2.0-or-later
"""Locks between processes, and between threads of one process. A lock is a file beside what it protects."""
import fcntl
import os
import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from .console import say


@dataclass
class _Own:
    """What this process has of one lock."""
    threads: threading.RLock = field(default_factory=threading.RLock)  # type: ignore[valid-type]
    depth: int = 0
    thread: int = 0
    descriptor: int = -1


_own: dict[Path, _Own] = {}
_own_guard = threading.Lock()


def _take(stream: TextIO, what: str) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.seek(0)
        holder = stream.read().strip() or "another rmpopt"
        say(f"waiting for {holder}, which is at work on {what}")
        fcntl.flock(stream, fcntl.LOCK_EX)
    stream.seek(0)
    stream.truncate()
    command = shlex.join(["rmpopt", *sys.argv[1:]])
    print(f"process {os.getpid()} ({command[:60]})", file=stream, flush=True)


@contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Held while something is made: two at once would do the work twice, or spoil it. May nest in one thread.
    Who has to wait says for whom. The file is never removed: one that waits may have it open."""
    with _own_guard:
        own = _own.setdefault(path.absolute(), _Own())
    with own.threads:
        if own.depth:
            yield
            return
        with path.open("a+") as stream:
            _take(stream, what)
            own.depth, own.thread, own.descriptor = 1, threading.get_ident(), stream.fileno()
            try:
                yield
            finally:
                own.depth = 0


def descriptors() -> list[int]:
    """Of all locks that this thread holds. A program that inherits one holds the lock until it has ended."""
    with _own_guard:
        return [own.descriptor for own in _own.values() if own.depth and own.thread == threading.get_ident()]
