# SPDX-License-Identifier: GPL-2.0-or-later
"""Building the project itself (plugin, model, bare-metal tests) into build/."""
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from ..base.console import Progress, say
from ..base.errors import Failure
from ..base.paths import BUILD, CHECKOUT
from ..base.shell import last_line, logged, output
from .cache import Cache, sha256_text

# Another compiler than ours warns of other things: that must not stop a user. Continuous integration wants to know.
WARNINGS_ARE_ERRORS = "RMPOPT_WERROR"


def _options() -> dict[str, str]:
    return {"buildtype": "release", "b_ndebug": "false",
            "werror": "true" if os.environ.get(WARNINGS_ARE_ERRORS) else "false"}


def _wanted(libvfio_user: Path | None) -> dict[str, str]:
    declared = CHECKOUT / "meson_options.txt"
    if libvfio_user and declared.exists() and "libvfio_user_src" in declared.read_text():
        return {**_options(), "libvfio_user_src": str(libvfio_user)}
    return _options()


def _current() -> dict[str, str]:
    """Options of the configured build directory; empty when there is none."""
    try:
        listed = json.loads((BUILD / "meson-info" / "intro-buildoptions.json").read_text())
    except (OSError, ValueError):
        return {}
    return {option["name"]: str(option["value"]).lower() if option["type"] == "boolean" else option["value"]
            for option in listed}


def _problem(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    errors = [line for line in lines if "error:" in line or "ERROR:" in line]
    return errors[0].strip() if errors else last_line("\n".join(lines))


def _configure(log: Path, libvfio_user: Path | None) -> None:
    wanted, current = _wanted(libvfio_user), _current()
    configured = (BUILD / "build.ninja").exists()
    if configured and all(current.get(name) == value for name, value in wanted.items()):
        return
    options = [f"-D{name}={value}" for name, value in wanted.items()]
    if configured:
        words: list[str | Path] = ["meson", "configure", *options, BUILD]
    else:
        say("configuring the project")
        shutil.rmtree(BUILD, ignore_errors=True)  # left by a configuration that failed
        words = ["meson", "setup", *options, BUILD, CHECKOUT]
    if logged(words, log, cwd=CHECKOUT) != 0:
        raise Failure(f"meson: {_problem(log)} (log: {log})")


def build(cache: Cache, libvfio_user: Path | None, targets: Sequence[Path] = ()) -> None:
    """Configures and compiles everything or the targets; silent when there is nothing to do."""
    if not (CHECKOUT / "meson.build").exists():
        raise Failure("meson.build is missing: this is not a complete checkout")
    log = cache.directory("log") / f"build-{sha256_text(str(CHECKOUT))[:8]}"
    log.unlink(missing_ok=True)
    with cache.lock(f"build-{sha256_text(str(CHECKOUT))[:8]}"):
        _configure(log, libvfio_user)
        status, pending, _ = output(["ninja", "-C", BUILD, "-n", *targets])
        if status == 0 and "no work to do" in pending:
            return
        progress = Progress("building the project")
        if logged(["ninja", "-C", BUILD, *targets], log, lambda line: progress.update(line[:70])) != 0:
            raise Failure(f"build: {_problem(log)} (log: {log})")
        progress.done()
