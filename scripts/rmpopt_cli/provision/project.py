# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the project itself (plugin, model, bare-metal tests) in build/."""
import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from ..base import lock
from ..base.console import Progress, say
from ..base.errors import Failure
from ..base.paths import BUILD, CHECKOUT, IS_INSTALLED
from ..base.shell import last_line, logged, output
from .cache import Cache, sha256_text

# Set in continuous integration. A user's compiler may have warnings that ours does not have, and they must not stop the
# build.
WARNINGS_ARE_ERRORS = "RMPOPT_WERROR"

LOCK = BUILD.with_name(BUILD.name + ".lock")
# Names of Ninja's targets.
GUEST_TOOLS = Path("guest-tools")
FOR_GUESTS = Path("for-guests")  # guest-tools and the plugin
# Newer versions of Meson do not count the tests' programs among "all".
EVERYTHING = (Path("all"), Path("meson-test-prereq"))


def _options() -> dict[str, str]:
    return {"buildtype": "release", "b_ndebug": "false",
            "werror": "true" if os.environ.get(WARNINGS_ARE_ERRORS) else "false"}


def _wanted(current: dict[str, str], tests: bool) -> dict[str, str]:
    """The options that the build directory must have. A directory that was configured with tests is good without."""
    wanted = _options()
    if tests or not current:
        wanted["tests"] = str(tests).lower()
    return wanted


def _current() -> dict[str, str]:
    """The options of the build directory; empty if it is not configured."""
    try:
        listed = json.loads((BUILD / "meson-info" / "intro-buildoptions.json").read_text())
    except (OSError, ValueError):
        return {}
    return {option["name"]: str(option["value"]).lower() if option["type"] == "boolean" else option["value"]
            for option in listed}


def problem(log: Path) -> str:
    """The first error in a log of Meson or Ninja."""
    lines = log.read_text(errors="replace").splitlines()
    errors = [line for line in lines if "error:" in line or "ERROR:" in line]
    return errors[0].strip() if errors else last_line("\n".join(lines))


def _is_configured() -> bool:
    """For this checkout: a copy of one, or one that was moved, has a build directory that builds in the old place."""
    try:
        places = json.loads((BUILD / "meson-info" / "meson-info.json").read_text())["directories"]
    except (OSError, ValueError, KeyError):
        return False
    is_here = [Path(places[name]).resolve() for name in ("source", "build")] == [CHECKOUT, BUILD.resolve()]
    return is_here and (BUILD / "build.ninja").exists()


def _configure(log: Path, tests: bool) -> None:
    configured = _is_configured()
    current = _current() if configured else {}
    wanted = _wanted(current, tests)
    if configured and all(current.get(name) == value for name, value in wanted.items()):
        return
    options = [f"-D{name}={value}" for name, value in wanted.items()]
    if configured:
        words: list[str | Path] = ["meson", "configure", *options, BUILD]
    else:
        say("configuring the project")
        shutil.rmtree(BUILD, ignore_errors=True)  # of another place, or left by a configuration that failed
        words = ["meson", "setup", *options, BUILD, CHECKOUT]
    if logged(words, log, cwd=CHECKOUT) != 0:
        raise Failure(f"meson: {problem(log)} (log: {log})")


def _compiler_cache(cache: Cache) -> dict[str, str]:
    """Settings of ccache, which Meson uses if it is installed: another checkout, in any place, reuses the results."""
    return {"CCACHE_DIR": str(cache.directory("ccache")), "CCACHE_BASEDIR": str(CHECKOUT), "CCACHE_NOHASHDIR": "1",
            "CCACHE_MAXSIZE": "2G",
            # Without it, nothing that uses a precompiled header is kept.
            "CCACHE_SLOPPINESS": "pch_defines,time_macros"}


def _log(cache: Cache) -> Path:
    return cache.directory("log") / f"build-{sha256_text(str(CHECKOUT))[:8]}"


def configure(cache: Cache) -> None:
    """Configures the project with all its tests, and compiles nothing."""
    with lock.held(LOCK, str(BUILD)):
        _configure(_log(cache), tests=True)


def build(cache: Cache, targets: Sequence[Path] = ()) -> None:
    """Configures the project and compiles the targets, or everything including tests. Silent if all is up to date."""
    if IS_INSTALLED:
        return
    if not (CHECKOUT / "meson.build").exists():
        raise Failure("meson.build is missing: this is not a complete checkout")
    log = _log(cache)
    with lock.held(LOCK, str(BUILD)):
        log.unlink(missing_ok=True)
        _configure(log, tests=not targets)
        words = ["ninja", "-C", BUILD, *(targets or EVERYTHING)]
        status, pending, _ = output([*words, "-n"])
        if status == 0 and "no work to do" in pending:
            return
        progress = Progress("building the plugin" if targets else "building the project")
        # A kernel that is built at the same time takes longer and ends with work for only one CPU, so it has priority.
        if logged(["nice", "-n", "10", *words], log, lambda line: progress.update(_step(line)),
                  extra_env=_compiler_cache(cache)) != 0:
            raise Failure(f"build: {problem(log)} (log: {log})")
        progress.done()


def _step(line: str) -> str:
    """The progress and the file's name in a line of Ninja's."""
    found = re.match(r"\[(\d+)/(\d+)\] .*?([^/ ]+)$", line)
    return f"{found[1]} of {found[2]}, {found[3]}" if found else line[:70]
