# SPDX-License-Identifier: GPL-2.0-or-later
"""The program works from where it is installed, without a checkout."""
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rmpopt_cli.base.errors import OK, USAGE, Failure
from rmpopt_cli.base.paths import BUILD
from rmpopt_cli.base.shell import last_line, output
from .command import TAKES_AT_MOST, Checks, Done, scratch


@contextmanager
def _installed() -> Iterator[Path]:
    """The program, installed below a directory of its own."""
    with scratch() as name:
        status, _, told = output(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", name])
        program = next(Path(name).glob("**/bin/rmpopt"), None)
        if status != OK or program is None:
            raise Failure(f"meson install: {last_line(told) or 'no bin/rmpopt'}")
        yield program


def _run(program: Path, *words: str) -> Done:
    return Done(*output([program, *words], timeout=TAKES_AT_MOST, cwd=Path("/")))


def _boots() -> str | None:
    with _installed() as program:
        return (_run(program, "boot", "--mem", "2G", "--policy", "oow=gp", "--", "true").failure or
                _run(program, "setup", "--check").failure)


def _says_what_it_lacks() -> str | None:
    with _installed() as program:
        done = _run(program, "test")
    return None if done.status == USAGE and "in a checkout" in done.told else f"'test' says: {last_line(done.told)}"


def tests() -> Checks:
    return [("installed/boots", _boots), ("installed/says what it lacks", _says_what_it_lacks)]
