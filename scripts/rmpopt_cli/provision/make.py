# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs make in a kernel's tree."""
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..base.console import Progress
from ..base.errors import Failure
from ..base.shell import last_line, logged

JOBS = f"-j{len(os.sched_getaffinity(0))}"
# Programs of a kernel's build, which its Makefile takes from the command line only.
PROGRAMS = ("AR", "CC", "HOSTAR", "HOSTCC", "HOSTCXX", "HOSTLD", "HOSTRUSTC", "LD", "NM", "OBJCOPY", "OBJDUMP",
            "PAHOLE", "READELF", "RUSTC", "STRIP")


def programs_of_environment() -> list[str]:
    """Words for make, so that a tree that was built with CC="ccache gcc" is not built anew with gcc."""
    return [f"{name}={os.environ[name]}" for name in PROGRAMS if os.environ.get(name)]


def must(words: Sequence[str], log: Path, tree: Path, step: str, environment: Mapping[str, str] | None = None) -> None:
    if logged(words, log, cwd=tree, extra_env=environment) != 0:
        raise _failure(log, tree, step)


def compile_kernel(words: Sequence[str], log: Path, tree: Path, environment: Mapping[str, str] | None = None) -> None:
    """The same, for a step that takes long and tells which files it makes."""
    progress = Progress("building the kernel")
    count = 0

    def show(line: str) -> None:
        nonlocal count
        step = re.match(r"\s+(CC|AS|LD|AR|HOSTCC)\s+(?:\[M\] )?(\S+)", line)
        if step:
            count += 1
            progress.update(f"{count} objects, {re.sub(r'^.*/build(-[0-9a-f]+)?/', '', step[2])}")

    if logged(words, log, show, cwd=tree, extra_env=environment) != 0:
        raise _failure(log, tree, "build")
    progress.done(f"{count} objects")


def _failure(log: Path, tree: Path, step: str) -> Failure:
    lines = log.read_text(errors="replace").splitlines()
    errors = (line for line in lines if re.search(r"\berror:|ERROR: |Error \d|\*\*\*", line))
    problem = next(errors, last_line("\n".join(lines))).replace(f"{tree}/", "")
    return Failure(f"kernel {step}: {problem} (log: {log})")
