# SPDX-License-Identifier: GPL-2.0-or-later
"""Building the project itself (plugin, model, bare-metal tests) into build/."""
from pathlib import Path

from .cache import Cache
from .console import Progress, say
from .errors import Failure
from .paths import BUILD, CHECKOUT
from .shell import last_line, logged, output

OPTIONS = ["--buildtype=release", "-Db_ndebug=false"]


def _problem(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    errors = [line for line in lines if "error:" in line or "ERROR:" in line]
    return errors[0].strip() if errors else last_line("\n".join(lines))


def _configure(log: Path, libvfio_user: Path | None) -> None:
    options = list(OPTIONS)
    declared = CHECKOUT / "meson_options.txt"
    if libvfio_user and declared.exists() and "libvfio_user_src" in declared.read_text():
        options.append(f"-Dlibvfio_user_src={libvfio_user}")
    if (BUILD / "build.ninja").exists():
        words = ["meson", "configure", *[o for o in options if o.startswith("-D")], BUILD]
    else:
        say("configuring the project")
        words = ["meson", "setup", *(["--wipe"] if (BUILD / "meson-private").exists() else []), *options,
                 BUILD, CHECKOUT]
    if logged(words, log, cwd=CHECKOUT) != 0:
        raise Failure(f"meson: {_problem(log)} (log: {log})")


def build(cache: Cache, libvfio_user: Path | None) -> None:
    """Configures and compiles; silent when there is nothing to do."""
    if not (CHECKOUT / "meson.build").exists():
        raise Failure("meson.build is missing: this is not a complete checkout")
    log = cache.directory("log") / "build"
    log.unlink(missing_ok=True)
    with cache.lock():
        _configure(log, libvfio_user)
        status, pending, _ = output(["ninja", "-C", BUILD, "-n"])
        if status == 0 and "no work to do" in pending:
            return
        progress = Progress("building the project")
        if logged(["ninja", "-C", BUILD], log, lambda line: progress.update(line[:70])) != 0:
            raise Failure(f"build: {_problem(log)} (log: {log})")
        progress.done()
