# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs all tests with one command and one closing line: those of the scripts, those of Meson (model, plugin, bare
metal), and whole boots."""
import difflib
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rmpopt_cli.base.console import note, say
from rmpopt_cli.base.errors import OK, TEST_FAILED, BadInput, Failure
from rmpopt_cli.base.parallel import threads
from rmpopt_cli.base.paths import BUILD, CHECKOUT
from rmpopt_cli.base.shell import last_line, output
from rmpopt_cli.provision import kernel, setup
from rmpopt_cli.provision.cache import Cache
from . import (bad_input, boots, brought, compilers, consoles, debugger, distros, experiments, explore, installed,
               kernels, layout, measure, other_tools, reoptimise, report, scenarios, seeds, snp_guests,
               snp_life)
from .command import Check, Checks

SKIPPED = 77  # exit status by which Meson's tests skip
FAILURES_SHOWN = 3  # of one program's
LIKE, NEAR_SHOWN = 0.6, 3
# The same settings as Meson's: a sanitizer's finding must fail the test.
STRICT = {"ASAN_OPTIONS": "halt_on_error=1:abort_on_error=1:print_summary=1",
          "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:print_summary=1:print_stacktrace=1"}


@dataclass
class Result:
    name: str
    outcome: str  # "passed" or "failed"
    detail: str
    seconds: float


def _program(argv: list[str | Path], takes: float | None, extra_env: dict[str, str] | None = None,
             cwd: Path | None = None) -> str | None:
    """Runs a test that is a program and reports through its exit status."""
    status, text, told = output(argv, timeout=takes or 3600, cwd=cwd, extra_env=extra_env)
    if status in (OK, SKIPPED):
        return None
    sys.stderr.write(told)
    return f"status {status}: " + what_failed(f"{text}\n{told}")


def what_failed(text: str) -> str:
    """The first complaints in what a test printed, be it KTAP, GoogleTest or a command of ours."""
    lines = [line.strip() for line in text.splitlines()]
    bad = [line for line in lines if line.startswith(("not ok", "rmpopt: error", "[  FAILED  ]"))]
    shown = list(dict.fromkeys(re.sub(r" \(\d+ ms\)$", "", line) for line in bad))[:FAILURES_SHOWN]
    return "; ".join(shown) or last_line(text)


def unit_tests() -> Checks:
    """One entry for each module of scripts/tests/unit."""
    names = sorted(path.stem for path in (CHECKOUT / "scripts" / "tests" / "unit").glob("test_*.py"))
    return [(f"scripts/{name}", partial(_program, [sys.executable, "-m", "unittest", f"tests.unit.{name}"], 600,
                                        cwd=CHECKOUT / "scripts")) for name in names]


def meson_tests() -> Checks:
    status, text, told = output(["meson", "introspect", "--tests", BUILD])
    if status != OK:
        raise Failure(f"meson introspect: {last_line(told)}")
    return [(f"meson/{test['name']}", partial(_program, test["cmd"], test["timeout"], {**STRICT, **test["env"]},
                                              test["workdir"] or BUILD)) for test in json.loads(text)]


def _perform(name: str, check: Check) -> Result:
    start = time.monotonic()
    try:
        problem = check()
    except Failure as failure:
        problem = str(failure)
    except (subprocess.TimeoutExpired, OSError, ValueError) as failure:
        problem = f"{type(failure).__name__}: {failure}"
    result = Result(name, "failed" if problem else "passed", problem or "", round(time.monotonic() - start, 2))
    note(f"{result.outcome:7} {name} ({result.seconds:.1f} s){': ' + result.detail if result.detail else ''}")
    return result


def _group(title: str, checks: Checks, jobs: int) -> list[Result]:
    if checks:
        say(f"testing: {title}")
    with threads(jobs) as pool:
        return list(pool.map(lambda test: _perform(*test), checks))


Group = tuple[str, Checks, int]  # title, checks, how many at once


def _chosen(groups: list[Group], pattern: str) -> list[Group]:
    """The checks whose names contain the pattern; there must be one."""
    found = [(title, [check for check in checks if pattern in check[0]], at_once) for title, checks, at_once in groups]
    if any(checks for _, checks, _ in found):
        return found
    near = ", ".join(f"'{name}'" for name in near_matches(pattern, [name for _, checks, _ in groups
                                                                    for name, _ in checks]))
    raise BadInput(f"test {pattern}: no test has that in its name{', but there is ' * bool(near)}{near}: "
                   "'test --list' shows all")


def near_matches(pattern: str, names: list[str]) -> list[str]:
    """Those of which a word, or the whole, is like the pattern; the most like it first."""
    def likeness(name: str) -> float:
        words = [name, *re.split(r"[^\w-]+", name)]
        return max(difflib.SequenceMatcher(None, pattern, word).ratio() for word in words)
    return [name for name in sorted(names, key=likeness, reverse=True) if likeness(name) >= LIKE][:NEAR_SHOWN]


def _linux() -> Checks:
    return (boots.tests() + brought.tests() + consoles.tests() + other_tools.tests() + installed.tests() +
            bad_input.tests() + measure.tests() + report.tests() + snp_guests.tests() +
            snp_life.tests())


def _alike() -> Checks:
    return (measure.lasting_tests() + experiments.tests() + scenarios.tests() + reoptimise.tests() + seeds.tests() +
            scenarios.variant_tests())


def _groups(cache: Cache, pattern: str) -> list[Group]:
    """All tests. Nothing is compiled for this, but Meson has to know the project."""
    jobs = len(os.sched_getaffinity(0))  # for tests that keep one CPU busy
    scripts: Group = ("scripts", unit_tests(), jobs)
    if pattern.startswith("scripts/"):  # they need no build
        return [scripts]
    setup.for_list_of_tests(cache)
    return [scripts, ("model, plugin, bare metal", meson_tests() + debugger.tests() + layout.tests(), jobs),
            ("compilers", compilers.tests(cache), 1), ("Linux", _linux(), 1), ("scenarios", _alike(), jobs),
            ("searches", explore.tests(), 1)]


def show_all(cache: Cache, pattern: str, as_json: bool) -> int:
    names = [name for _, checks, _ in _chosen(_groups(cache, pattern), pattern) for name, _ in checks]
    print(json.dumps({"schema": 1, "tests": names}, indent=1) if as_json else "\n".join(names))
    return OK


def run_all(cache: Cache, pattern: str, as_json: bool) -> int:
    chosen = _chosen(_groups(cache, pattern), pattern)
    names = {title: {name for name, _ in checks} for title, checks, _ in chosen}
    variants = {name for name, _ in scenarios.variant_tests()}

    def make_kernels(where: Cache) -> None:
        # First, because it also builds the reference kernel.
        if names["searches"] or names["scenarios"] & variants:
            kernel.variants(where)
        if names["Linux"] or names["scenarios"]:
            kernel.reference(where)

    if any(names[title] for title in names if title != "scripts"):
        setup.for_tests(cache, make_kernels)
    return _close([result for title, checks, at_once in chosen for result in _group(title, checks, at_once)], as_json)


def run_kernels(cache: Cache, pattern: str, as_json: bool) -> int:
    """Boots Debian's kernels of all versions, or those whose name contains the pattern."""
    [chosen] = _chosen([("Debian's kernels", kernels.tests(cache), 1)], pattern)
    return _close(_group(*chosen), as_json)


def run_distros(cache: Cache, pattern: str, as_json: bool) -> int:
    """Runs the first commands in fresh Debian installations, of which the pattern chooses some."""
    chosen = distros.chosen(pattern)
    distros.check_possible(cache)
    return _close([result for suite in chosen for result in _distro(cache, suite)], as_json)


def _distro(cache: Cache, suite: str) -> list[Result]:
    try:
        return [_perform(name, check) for name, check in distros.checks(cache, suite)]
    except Failure as failure:
        return [Result(f"Debian {suite}", "failed", str(failure), 0.0)]


def _close(results: list[Result], as_json: bool) -> int:
    count = {word: sum(r.outcome == word for r in results) for word in ("passed", "failed")}
    if as_json:
        print(json.dumps({"schema": 1, **count, "results": [vars(r) for r in results]}, indent=1))
    for result in results:
        if result.outcome == "failed":
            note(f"FAILED {result.name}: {result.detail}")
    print(f"{count['passed']} passed, {count['failed']} failed", file=sys.stderr if as_json else sys.stdout, flush=True)
    return TEST_FAILED if count["failed"] or not count["passed"] else OK
