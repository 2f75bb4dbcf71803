# SPDX-License-Identifier: GPL-2.0-or-later
"""Several terminals in one guest with --shell."""
import os
import pty
import re
import select
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rmpopt_cli.base.errors import USAGE, Failure
from rmpopt_cli.base.paths import PROGRAM
from rmpopt_cli.base.shell import last_line
from .command import Checks, rmpopt, scratch

SECONDS = 40


@contextmanager
def _guest(*words: str) -> Iterator[str]:
    """A guest with a shell, which has shown its prompt; yields its control socket."""
    ours, its = pty.openpty()
    with scratch() as report, subprocess.Popen([PROGRAM, "boot", "--mem", "2G", "--shell", "--report", report, *words],
                                               stdin=its, stdout=its, stderr=its) as boot:
        os.close(its)
        try:
            _await(ours, "/ # ")
            yield re.findall(r"control=([^, ]+)", Path(report, "command").read_text())[0]
        finally:
            boot.terminate()
            threading.Thread(target=_drain, args=(ours,), daemon=True).start()
            boot.wait()


def _drain(terminal: int) -> None:
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:
        pass


def _await(stream: int, pattern: str) -> None:
    """Reads until the pattern has been shown."""
    shown, end = "", time.monotonic() + SECONDS
    while not re.search(pattern, shown):
        ready, _, _ = select.select([stream], [], [], max(0, end - time.monotonic()))
        data = os.read(stream, 4096) if ready else b""
        if not data:
            raise Failure(f"'{pattern}' was not shown, but: {last_line(shown)}")
        shown += data.decode(errors="replace")


@contextmanager
def _terminal(control: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([PROGRAM, "console", "--socket", control], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as terminal:
        try:
            yield terminal
        finally:
            terminal.kill()


def _type(terminal: subprocess.Popen[bytes], text: str, answer: str) -> None:
    assert terminal.stdin and terminal.stdout
    os.write(terminal.stdin.fileno(), text.encode())
    _await(terminal.stdout.fileno(), answer)


def _stay() -> str | None:
    """Two terminals have shells of their own; one that leaves finds its shell again."""
    with _guest("--kernel", "debian") as control:
        with _terminal(control) as one:
            _type(one, "seven=7; echo $((6 * seven)) here\n", "\n42 here")
            with _terminal(control) as other:  # started together, either may get the first console
                _type(other, "echo -$seven-; ls -d /proc/self\n", "\n--")
            os.write(one.stdin.fileno(), b"\x1d")  # type: ignore[union-attr]
            if one.wait(SECONDS) != 0:
                return f"Ctrl-] leaves with status {one.returncode}"
        with _terminal(control) as again:
            _type(again, "echo still $seven\n", "\nstill 7")
    return None


def _without() -> str | None:
    """A kernel without further consoles has the first one."""
    with _guest("--append", "initcall_blacklist=virtio_console_init"):
        return None


def _none() -> str | None:
    done = rmpopt("console", "--socket", "/nonexistent/control.sock")
    return None if done.status == USAGE and "boot it with --shell" in done.told else last_line(done.told)


def tests() -> Checks:
    return [("consoles/stay", _stay), ("consoles/a kernel without", _without),
            ("consoles/none", _none)]
