# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole test suite behind one command and one closing line."""
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import run, setup
from .cache import Cache
from .console import note, say
from .errors import OK, TEST_FAILED, Failure
from .paths import BARE_METAL, BUILD, CHECKOUT
from .qemu import Qemu
from .shell import output

Check = Callable[[], str | None]  # None: passed; text: why not


class Skip(Exception):
    """Raised by a check that can't be made here."""


@dataclass
class Result:
    name: str
    outcome: str  # "passed", "failed", "skipped"
    detail: str
    seconds: float


def _perform(name: str, check: Check) -> Result:
    start = time.monotonic()
    try:
        problem = check()
        outcome = "failed" if problem else "passed"
    except Skip as reason:
        outcome, problem = "skipped", str(reason)
    except Failure as failure:
        outcome, problem = "failed", str(failure)
    result = Result(name, outcome, problem or "", round(time.monotonic() - start, 2))
    note(f"{outcome:7} {name} ({result.seconds:.1f} s){': ' + result.detail if result.detail else ''}")
    return result


def meson_tests() -> list[tuple[str, Check]]:
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


def unit_tests() -> list[tuple[str, Check]]:
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


def bare_metal_tests(cache: Cache, qemu: Qemu) -> list[tuple[str, Check]]:
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


def run_all(cache: Cache, pattern: str, as_json: bool) -> int:
    qemu = setup.built(cache)
    groups = [("scripts", unit_tests()), ("model and plugin", meson_tests()), ("bare metal", bare_metal_tests(cache, qemu))]
    results = []
    for title, checks in groups:
        chosen = [(name, check) for name, check in checks if pattern in name]
        if chosen:
            say(f"testing: {title}")
        results += [_perform(name, check) for name, check in chosen]
    return _close(results, as_json)


def _close(results: list[Result], as_json: bool) -> int:
    count = {word: sum(r.outcome == word for r in results) for word in ("passed", "failed", "skipped")}
    if as_json:
        print(json.dumps({"schema": 1, **count, "results": [vars(r) for r in results]}, indent=1))
    for result in results:
        if result.outcome == "failed":
            note(f"FAILED {result.name}: {result.detail}")
    line = f"{count['passed']} passed, {count['failed']} failed"
    line += f", {count['skipped']} skipped" if count["skipped"] else ""
    print(line, file=sys.stderr if as_json else sys.stdout, flush=True)
    return TEST_FAILED if count["failed"] or not count["passed"] else OK
