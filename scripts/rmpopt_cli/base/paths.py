# SPDX-License-Identifier: GPL-2.0-or-later
"""Where things are: the checkout, its build directory, the cache."""
import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
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
