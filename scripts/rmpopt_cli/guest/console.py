# SPDX-License-Identifier: GPL-2.0-or-later
"""Further consoles of a guest with --shell, each with a shell of its own that stays when its terminal leaves."""
import fcntl
import os
import select
import socket
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from ..base.errors import BadInput, Failure

MOST = 4
LEAVE = b"\x1d"  # Ctrl-]
CHUNK = 1 << 14


def socket_in(directory: Path, number: int) -> Path:
    return directory / f"console{number}.sock"


@contextmanager
def free(directory: Path) -> Iterator[socket.socket]:
    """A connection to the first console that no other terminal has."""
    for number in range(MOST):
        path = socket_in(directory, number)
        if not path.exists():
            raise BadInput("the guest has no further consoles: boot it with --shell")
        with path.with_suffix(".lock").open("w") as held, socket.socket(socket.AF_UNIX) as ours:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            ours.connect(str(path))
            yield ours
            return
    raise BadInput(f"all {MOST} consoles are in use: leave one with Ctrl-]")


@contextmanager
def _raw(terminal: int) -> Iterator[None]:
    before = termios.tcgetattr(terminal)
    try:
        tty.setraw(terminal)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def attend(ours: socket.socket, terminal: int, screen: int) -> None:
    """Connects a terminal with a console until Ctrl-], or until the terminal or the guest goes away."""
    with _raw(terminal) if os.isatty(terminal) else nullcontext():
        ours.sendall(b"\n")  # the shell's last prompt was for nobody
        while True:
            ready, _, _ = select.select([ours, terminal], [], [])
            if ours in ready:
                shown = ours.recv(CHUNK)
                if not shown:
                    raise Failure("the guest has ended")
                os.write(screen, shown)
            if terminal in ready:
                typed = os.read(terminal, CHUNK)
                ours.sendall(typed.partition(LEAVE)[0])
                if not typed or LEAVE in typed:
                    return
