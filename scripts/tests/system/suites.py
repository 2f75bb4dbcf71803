# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of the parts: the scripts' own, and everything that Meson knows (model, plugin, bare metal)."""
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rmpopt_cli.base.console import note
from rmpopt_cli.base.paths import BUILD, CHECKOUT
from rmpopt_cli.base.shell import last_line, logged, output
from rmpopt_cli.provision.cache import Cache

Check = Callable[[], str | None]  # None: passed; text: why not
Checks = list[tuple[str, Check]]

MESON_LINE = re.compile(r"\s*\d+/\d+ (?:\S+ - )?\S.*?\s{2,}(?:OK|FAIL|TIMEOUT|SKIP|ERROR)")
MESON_PASSED = ("OK", "SKIP", "EXPECTEDFAIL")


@dataclass
class Result:
    name: str
    outcome: str  # "passed" or "failed"
    detail: str
    seconds: float


def unit_tests() -> Checks:
    """One entry per module of scripts/tests/unit."""
    def check(path: Path) -> Check:
        def call() -> str | None:
            status, _, problem = output([sys.executable, "-m", "unittest", f"tests.unit.{path.stem}"], timeout=600,
                                        cwd=CHECKOUT / "scripts")
            if status != 0:
                sys.stderr.write(problem)
            return None if status == 0 else f"status {status}"
        return call

    modules = sorted((CHECKOUT / "scripts" / "tests" / "unit").glob("test_*.py"))
    return [(f"scripts/{path.stem}", check(path)) for path in modules]


def _meson_names(pattern: str) -> list[str]:
    status, text, _ = output(["meson", "introspect", "--tests", BUILD])
    tests = json.loads(text) if status == 0 else []
    return [name for name in dict.fromkeys(test["name"] for test in tests) if pattern in f"meson/{name}"]


def _meson_result(entry: dict) -> Result:
    passed = entry["result"] in MESON_PASSED
    detail = ""
    if not passed:
        text = entry.get("stdout", "") + "\n" + entry.get("stderr", "")
        bad = (line.strip() for line in text.splitlines() if line.lstrip().startswith(("not ok", "rmpopt: error")))
        detail = f"{entry['result']}: {next(bad, last_line(text))}"
    return Result(f"meson/{entry['name']}", "passed" if passed else "failed", detail, round(entry["duration"], 2))


def meson_results(cache: Cache, pattern: str) -> list[Result]:
    """Runs Meson's tests side by side; its log tells how each went."""
    names = _meson_names(pattern)
    if not names:
        return []

    def show(line: str) -> None:
        if MESON_LINE.match(line):
            note(re.sub(r"\s{2,}", "  ", line.strip()))

    log = BUILD / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    jobs = str(len(os.sched_getaffinity(0)))
    logged(["meson", "test", "-C", BUILD, "--no-rebuild", "--num-processes", jobs, *names],
           cache.directory("log") / "meson-test", show)
    if not log.exists():
        return [Result("meson", "failed", "meson test did not run", 0.0)]
    return [_meson_result(json.loads(line)) for line in log.read_text().splitlines() if line.strip()]
