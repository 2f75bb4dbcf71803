# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the command line as a user does, for system tests."""
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rmpopt_cli.base.errors import OK, Failure
from rmpopt_cli.base.paths import BUILD, PROGRAM
from rmpopt_cli.base.shell import environment, last_line, output
from rmpopt_cli.guest.control_client import connect

TAKES_AT_MOST = 400
PROGRAMS = BUILD / "guest-tests"

Check = Callable[[], str | None]  # returns None if the test passed, otherwise why not
Checks = list[tuple[str, Check]]


@dataclass
class Done:
    """A command that has ended."""
    status: int
    text: str  # stdout
    told: str  # stderr

    @property
    def failure(self) -> str | None:
        return None if self.status == OK else f"status {self.status}: {last_line(self.told or self.text)}"

    def json(self) -> dict:
        """The JSON on stdout; empty if there is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            return {}


def rmpopt(*words: str | Path, takes: float = TAKES_AT_MOST, extra_env: dict[str, str] | None = None) -> Done:
    return Done(*output([PROGRAM, *words], timeout=takes, extra_env=extra_env))


def scratch() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="rmpopt-")


@contextmanager
def booted(*words: str | Path) -> Iterator[Path]:
    """Boots, requires success, and returns the report directory."""
    with scratch() as directory:
        failure = rmpopt("boot", "--report", directory, *words).failure
        if failure:
            raise Failure(failure)
        yield Path(directory)


def report_of(directory: Path) -> dict:
    return json.loads((directory / "report.json").read_text())


def refused(status: int, says: str, *words: str | Path, extra_env: dict[str, str] | None = None) -> str | None:
    """Runs a command that must fail with this status and one matching error line."""
    done = rmpopt(*words, extra_env=extra_env)
    errors = [line for line in done.told.splitlines() if line.startswith("rmpopt: error:")]
    if done.status != status:
        return f"status {done.status} instead of {status}: {last_line(done.told)}"
    if len(errors) != 1 or not re.search(says, errors[0]):
        return f"no single line about '{says}': {errors}"
    return None


@contextmanager
def running(*words: str | Path) -> Iterator[tuple[subprocess.Popen[str], Path, Path]]:
    """Starts a boot whose command does not end by itself. Yields the process, the socket and the report directory once
    the control socket answers."""
    with scratch() as directory:
        process = subprocess.Popen([PROGRAM, "boot", "--report", directory, *words],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, env=environment())
        try:
            yield process, _socket_of(Path(directory)), Path(directory)
        finally:
            process.terminate()  # ends QEMU too
            process.wait(timeout=60)


def _socket_of(directory: Path) -> Path:
    """Finds the control socket in the boot's QEMU command and waits until it answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        command = directory / "command"
        text = command.read_text() if command.exists() else ""
        path = Path(text.partition("control=")[2].partition(",")[0].split()[0] if "control=" in text else "/none")
        try:
            connect(path).close()
            return path
        except OSError:
            time.sleep(0.2)
    raise TimeoutError("no control socket within 60 s")


def qemu_of(process: subprocess.Popen[str]) -> int:
    """The process ID of the QEMU that a boot has started."""
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])


def ctl(path: Path, *words: str) -> Done:
    return rmpopt("ctl", *words, "--socket", path, takes=60)


def wait_for_guest(path: Path) -> None:
    """Waits until Linux has set up SNP."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if ctl(path, "status", "--json").json().get("snp_enabled"):
            return
        time.sleep(0.3)
    raise TimeoutError("SNP was not enabled within 60 s")
