# SPDX-License-Identifier: GPL-2.0-or-later
"""Running other programs."""
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .errors import TIMEOUT, Failure
from .parallel import stopping

LOOKS_EVERY = 1.0  # second, whether the program is being ended
GRACE = 15.0  # seconds for a program to end in good order
PLAIN_LOCALE = {"LC_ALL": "C.UTF-8", "LANGUAGE": "C"}


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, **PLAIN_LOCALE, **(extra or {})}


def output(argv: Sequence[str | Path], timeout: float = 120, cwd: Path | None = None,
           extra_env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Runs a short command and returns (status, stdout, stderr)."""
    try:
        process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=environment(extra_env), cwd=cwd, text=True,
                                   errors="replace")
    except FileNotFoundError:
        return 127, "", f"{argv[0]}: not found"
    except PermissionError:
        return 126, "", f"{argv[0]}: not executable"
    try:
        text, told = _outcome(process, timeout)
        return process.returncode, text, told
    except subprocess.TimeoutExpired:
        return TIMEOUT, "", f"{argv[0]}: no end within {timeout:.0f} s"
    finally:
        _end(process)


def _outcome(process: subprocess.Popen[str], timeout: float) -> tuple[str, str]:
    deadline = time.monotonic() + timeout
    while True:
        try:
            return process.communicate(timeout=min(LOOKS_EVERY, max(deadline - time.monotonic(), 0)))
        except subprocess.TimeoutExpired:
            if stopping.is_set() or time.monotonic() >= deadline:
                raise


def _end(process: subprocess.Popen[str]) -> None:
    """In good order, so that it can end what it has started itself; with force if that takes too long."""
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdout, process.stderr):
        assert stream
        stream.close()


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def logged(argv: Sequence[str | Path], log: Path, on_line: Callable[[str], None] | None = None,
           cwd: Path | None = None, extra_env: Mapping[str, str] | None = None) -> int:
    """Runs a long command, keeps its output in a log file and shows each line to on_line."""
    try:
        process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, cwd=cwd, env=environment(extra_env), text=True,
                                   errors="replace")
    except OSError as problem:
        raise Failure(f"can't run {argv[0]}: {problem.strerror}") from problem
    assert process.stdout is not None
    try:
        with process.stdout, log.open("a") as stream:
            for line in process.stdout:
                stream.write(line)
                if on_line:
                    on_line(line.rstrip("\n"))
        return process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
