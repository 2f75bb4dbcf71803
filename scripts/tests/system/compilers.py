# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiles model, plugin and guest programs with the newest compilers in the machine's archive, because users may have
such compilers already, and newer ones are stricter."""
import os
import re
from functools import partial

from rmpopt_cli.base.errors import OK, Failure
from rmpopt_cli.base.paths import BUILD, CHECKOUT
from rmpopt_cli.base.shell import last_line, logged, output
from rmpopt_cli.provision import packages, project
from rmpopt_cli.provision.cache import Cache
from .command import Checks

C_COMPILER = {"g++": "gcc", "clang": "clang"}  # by the name of the package
CXX_COMPILER = {"g++": "g++", "clang": "clang++"}


def _newest(family: str) -> int | None:
    """The highest version of a compiler in the archive."""
    _, listed, _ = output(["apt-cache", "pkgnames", f"{family}-"])
    versions = [int(number) for number in re.findall(rf"^{re.escape(family)}-(\d+)$", listed, re.M)]
    return max(versions, default=None)


def _own() -> str:
    """The version of this machine's compiler, with which everything is compiled anyway."""
    return f"g++-{output(['c++', '-dumpversion'])[1].partition('.')[0].strip()}"


def _compile(cache: Cache, family: str, version: int) -> str | None:
    packages.ensure(cache, further=[f"{family}-{version}"])
    where = BUILD.with_name(f"{BUILD.name}-{family}-{version}")
    log = cache.directory("log") / where.name
    log.unlink(missing_ok=True)
    compilers = {"CC": f"{C_COMPILER[family]}-{version}", "CXX": f"{CXX_COMPILER[family]}-{version}"}
    # Without precompiled headers, so that a file that forgets an include is found.
    options = {"werror": "true", "tests": "false", "optimization": "1", "debug": "false", "b_pch": "false"}
    if not (where / "build.ninja").exists():
        words = ["meson", "setup", *(f"-D{name}={value}" for name, value in options.items()), where, CHECKOUT]
        if logged(words, log, extra_env=compilers) != OK:
            raise Failure(f"meson with {family}-{version}: {last_line(log.read_text(errors='replace'))}")
    if logged(["ninja", "-C", where, project.FOR_GUESTS], log) != OK:
        return f"{project.problem(log)} (log: {log})"
    return None


def tests(cache: Cache) -> Checks:
    """Only for continuous integration, because it installs compilers, which a user's tests should not."""
    if not os.environ.get(project.WARNINGS_ARE_ERRORS):
        return []
    found = [(family, version) for family in C_COMPILER if (version := _newest(family))]
    return [(f"compiles with {family}-{version}", partial(_compile, cache, family, version))
            for family, version in found if f"{family}-{version}" != _own()]
