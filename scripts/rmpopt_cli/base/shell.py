# SPDX-License-Identifier: GPL-2.0-or-later
"""Running other programs."""
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from . import lock
from .errors import TIMEOUT, Failure
from .parallel import ending_with_us

GRACE = 15.0  # seconds for a program to end in good order
PLAIN_LOCALE = {"LC_ALL": "C.UTF-8", "LANGUAGE": "C"}


def tied_to_us(argv: Sequence[str | Path]) -> list[str | Path]:
    """The kernel kills this program when the thread ends that starts it, however we end."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *argv]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, **PLAIN_LOCALE, **(extra or {})}


@contextmanager
def started(argv: Sequence[str | Path], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A program that does not outlive the block, nor this program."""
    process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, **options)
    try:
        with ending_with_us(process):
            yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[Any]) -> None:
    """Asks the program to end, so that it can end its own children; kills it if that takes too long."""
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()


def output(argv: Sequence[str | Path], timeout: float = 120, cwd: Path | None = None,
           extra_env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Runs a short command and returns (status, stdout, stderr)."""
    try:
        with started(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(extra_env), cwd=cwd,
                     text=True, errors="replace") as process:
            text, told = process.communicate(timeout=timeout)
            return process.returncode, text, told
    except FileNotFoundError:
        return 127, "", f"{argv[0]}: not found"
    except PermissionError:
        return 126, "", f"{argv[0]}: not executable"
    except subprocess.TimeoutExpired:
        return TIMEOUT, "", f"{argv[0]}: no end within {timeout:.0f} s"


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def logged(argv: Sequence[str | Path], log: Path, on_line: Callable[[str], None] | None = None,
           cwd: Path | None = None, extra_env: Mapping[str, str] | None = None) -> int:
    """Runs a long command, keeps its output in a log file and shows each line to on_line.

    The command holds our locks, too. When rmpopt is killed and make is not, the next rmpopt waits for that make."""
    with ExitStack() as stack:
        try:
            process = stack.enter_context(started(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd,
                                                  env=environment(extra_env), text=True, errors="replace",
                                                  pass_fds=lock.descriptors()))
        except OSError as problem:
            raise Failure(f"can't run {argv[0]}: {problem.strerror}") from problem
        stream = stack.enter_context(log.open("a"))
        for line in process.stdout:
            stream.write(line)
            if on_line:
                on_line(line.rstrip("\n"))
        return process.wait()
