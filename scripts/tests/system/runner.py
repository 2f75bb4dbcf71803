# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole test suite behind one command and one closing line."""
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from rmpopt_cli.base.console import note, say
from rmpopt_cli.base.errors import OK, TEST_FAILED, Failure
from rmpopt_cli.provision import kernel, setup
from rmpopt_cli.provision.cache import Cache
from . import boots, experiments, measure, reoptimise, report, scenarios, suites
from .suites import Result


def _perform(name: str, check: suites.Check) -> Result:
    start = time.monotonic()
    try:
        problem = check()
        outcome = "failed" if problem else "passed"
    except Failure as failure:
        outcome, problem = "failed", str(failure)
    except (subprocess.TimeoutExpired, OSError, ValueError) as failure:
        outcome, problem = "failed", f"{type(failure).__name__}: {failure}"
    result = Result(name, outcome, problem or "", round(time.monotonic() - start, 2))
    note(f"{outcome:7} {name} ({result.seconds:.1f} s){': ' + result.detail if result.detail else ''}")
    return result


def run_all(cache: Cache, pattern: str, as_json: bool) -> int:
    setup.built(cache)
    linux = (boots.linux_tests() + boots.bad_input_tests() + measure.measure_tests() +
             report.report_tests())
    lasting = measure.lasting_tests() + experiments.experiment_tests()
    variants = scenarios.variant_tests()
    scenarios = scenarios.scenario_tests() + reoptimise.reoptimise_tests()
    if any(pattern in name for name, _ in variants):  # first, because the reference kernel comes on the way
        kernel.variants(cache)
    if any(pattern in name for name, _ in linux + scenarios + lasting):
        kernel.reference(cache)
    results = _group("scripts", suites.unit_tests(), pattern)
    say("testing: model, plugin, bare metal")
    results += suites.meson_results(cache, pattern)
    results += _group("Linux", linux, pattern)
    jobs = len(os.sched_getaffinity(0))  # each keeps one CPU busy
    results += _group("scenarios", lasting + scenarios + variants, pattern, jobs)
    return _close(results, as_json)


def _group(title: str, checks: suites.Checks, pattern: str, jobs: int = 1) -> list[Result]:
    chosen = [(name, check) for name, check in checks if pattern in name]
    if chosen:
        say(f"testing: {title}")
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(lambda test: _perform(*test), chosen))


def _close(results: list[Result], as_json: bool) -> int:
    count = {word: sum(r.outcome == word for r in results) for word in ("passed", "failed")}
    if as_json:
        print(json.dumps({"schema": 1, **count, "results": [vars(r) for r in results]}, indent=1))
    for result in results:
        if result.outcome == "failed":
            note(f"FAILED {result.name}: {result.detail}")
    print(f"{count['passed']} passed, {count['failed']} failed", file=sys.stderr if as_json else sys.stdout, flush=True)
    return TEST_FAILED if count["failed"] or not count["passed"] else OK
