# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of the parts: scripts, model and plugin, bare metal."""
import json
import sys
from collections.abc import Callable
from pathlib import Path

from . import run
from .cache import Cache
from .paths import BARE_METAL, BUILD, CHECKOUT
from .qemu import Qemu
from .shell import output

Check = Callable[[], str | None]  # None: passed; text: why not
Checks = list[tuple[str, Check]]


def meson_tests() -> Checks:
    """One entry per test that Meson knows."""
    status, text, _ = output(["meson", "introspect", "--tests", BUILD])
    if status != 0:
        return []

    def check(name: str) -> Check:
        def call() -> str | None:
            status, text, problem = output(["meson", "test", "-C", BUILD, "--no-rebuild", "--print-errorlogs", name],
                                           timeout=1800)
            if status != 0:
                sys.stderr.write(text + problem)
            return None if status == 0 else f"meson test {name}: status {status}"
        return call

    names = dict.fromkeys(test["name"] for test in json.loads(text))
    return [(f"meson/{name}", check(name)) for name in names]


def unit_tests() -> Checks:
    """One entry per module of scripts/tests."""
    def check(path: Path) -> Check:
        def call() -> str | None:
            status, _, problem = output([sys.executable, "-m", "unittest", f"tests.{path.stem}"], timeout=600,
                                        cwd=CHECKOUT / "scripts")
            if status != 0:
                sys.stderr.write(problem)
            return None if status == 0 else f"status {status}"
        return call

    return [(f"scripts/{path.stem}", check(path)) for path in sorted((CHECKOUT / "scripts/tests").glob("test_*.py"))]


def bare_metal_tests(cache: Cache, qemu: Qemu) -> Checks:
    """One entry per ELF that the build made."""
    def check(elf: Path) -> Check:
        def call() -> str | None:
            status, text = run.execute(cache, qemu, run.BareMetalTest(elf))
            if status != 0:
                sys.stderr.write(text)
                bad = next((line for line in text.splitlines() if line.lstrip().startswith("not ok")), "no 'not ok' line")
                return bad.strip()
            return None
        return call

    return [(f"bare-metal/{elf.stem}", check(elf)) for elf in sorted(BARE_METAL.glob("*.elf"))]
