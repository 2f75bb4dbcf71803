# SPDX-License-Identifier: GPL-2.0-or-later
"""Where things are: the checkout, or the place where it is installed; its build directory; the cache."""
import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
# Installed, there is nothing to build: BUILD is a link to what was built.
IS_INSTALLED = not (CHECKOUT / "meson.build").exists() and (CHECKOUT / "build").is_symlink()
COMMAND = "rmpopt" if IS_INSTALLED else "scripts/rmpopt"  # for messages
PROGRAM = CHECKOUT / "scripts" / "rmpopt"
BUILD = CHECKOUT / "build"
PLUGIN = BUILD / "plugin" / "librmpopt.so"
MARK = Path("guest-tests/rmpopt-mark")  # below BUILD
LINUX_PARTS = CHECKOUT / "guest-tests" / "linux"
SERIES = LINUX_PARTS / "patches"
VARIANTS = LINUX_PARTS / "variants"
KERNEL_FRAGMENT = LINUX_PARTS / "kernel.config"
DEBUG_FRAGMENT = LINUX_PARTS / "debug.config"


def cache_root() -> Path:
    explicit = os.environ.get("RMPOPT_CACHE")
    if explicit:
        return Path(explicit).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "rmpopt"
