# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots a kernel with a seed, puts it through a scenario, and judges the result."""
import contextlib
import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..base.errors import OK, TEST_FAILED, VERDICT, Failure, interrupted_means
from ..base.parallel import threads
from ..base.paths import BUILD
from ..base.shell import last_line
from ..guest import linux, tables, watch
from ..guest.given import Given
from ..guest.machine import MachineOptions, parse_size
from ..guest.request import Request
from ..provision.cache import Cache
from .catalogue import PRELUDE, SCENARIOS, SKIPPED, Scenario

PROGRAMS = BUILD / "guest-tests"
SEED = 1  # unless the user gives another one: what fails on one machine fails on all
TAKES_AT_MOST = 240  # seconds of real time, for a boot that hangs
COMPLAINT = re.compile(r"^.*(?:WARNING: |BUG: |Oops: |unchecked MSR access|RMP violation|general protection|"
                       r"invalid opcode|blocked for more than|soft lockup|rcu: INFO: .*stall|Leaking PFN).*$", re.M)


@dataclass
class Outcome:
    name: str
    verdict: str  # "pass", "fail" or "skip"
    detail: str = ""
    seconds: float = 0.0
    findings: list[dict] = field(default_factory=list)
    report: str = ""  # directory with the boot's logs

    def line(self, number: int) -> str:
        """The outcome as a line of KTAP."""
        mark = "not ok" if self.verdict == "fail" else "ok"
        skip = "SKIP " if self.verdict == "skip" else ""
        return f"{mark} {number} {self.name}{f' # {skip}{self.detail}' if self.detail else ''}"


def _script(scenario: Scenario) -> str:
    needs = "needs_guests\n" if scenario.guests else ""
    return f"{PRELUDE}{needs}{scenario.script}\nsleep {scenario.quiet}\n"


def request(scenario: Scenario, given: Given) -> Request:
    """The boot of a scenario."""
    programs = (*(["snp-guest"] if scenario.guests else []), *scenario.files)
    machine = MachineOptions(seed=SEED, watch_bound=scenario.bound, smp=scenario.smp,
                             memory=parse_size(scenario.memory), rmp=scenario.rmp, policies=list(scenario.policies),
                             qemu_options=list(scenario.qemu_options))
    wanted = given.onto(Request(append=scenario.append, files=[PROGRAMS / name for name in programs], machine=machine,
                                timeout=TAKES_AT_MOST, command=_script(scenario)))
    return replace(wanted, require=[what for what in wanted.require if what not in scenario.lacks])


def _findings(result: dict) -> list[dict]:
    return ((result.get("plugin") or {}).get("watch") or {}).get("findings", [])


def _serious(scenario: Scenario, findings: list[dict]) -> list[dict]:
    return [finding for finding in watch.serious(findings) if finding["id"] not in scenario.allowed]


def _skip_reason(text: str) -> str:
    found = re.search(r"^# SKIP (.*)$", text, re.M)
    return found.group(1).strip() if found else "the guest did not say why"


def judge(scenario: Scenario, status: int, result: dict, dmesg: str) -> tuple[str, str]:
    """The verdict and its reason."""
    if result["missing"] and status in (OK, SKIPPED, VERDICT):
        return "fail", result["missing"]
    if status == SKIPPED:
        return "skip", _skip_reason(result["output"])
    seen = (result.get("plugin") or {}).get("watch")
    serious = _serious(scenario, _findings(result))
    if serious:
        more = f" (and {len(serious) - 1} more)" if len(serious) > 1 else ""
        return "fail", f"{serious[0]['id']}: {serious[0]['what']}{more}"
    if status != OK and not (status == VERDICT and not scenario.complete):
        said = last_line(result["output"]) if result["outcome"] == "guest-exit" else ""
        return "fail", f"{result['message']}{': ' + said if said else ''}"
    if seen is None:
        return "fail", "the plugin left no report of its watch"
    complaint = COMPLAINT.search(dmesg)
    if complaint:
        return "fail", f"the kernel says: {complaint.group().strip()}"
    if scenario.rmpopt and not seen["pass_count"]:
        return "skip", "the kernel does not use RMPOPT"
    missing = tables.not_optimised(result["plugin"], tables.online(result["guest"])) if scenario.complete else {}
    if missing:
        return "fail", f"not optimised on all CPUs at the end: regions at GiB {', '.join(map(str, missing))}"
    return "pass", ""


def perform(scenario: Scenario, given: Given) -> Outcome:
    started = time.monotonic()
    try:
        result = linux.boot(Cache(), request(scenario, given))
    except (Failure, OSError) as problem:
        return Outcome(scenario.name, "fail", str(problem), round(time.monotonic() - started, 1))
    verdict, detail = judge(scenario, result["status"], result, _dmesg(result))
    return Outcome(scenario.name, verdict, detail, round(time.monotonic() - started, 1), _findings(result),
                   result["report"])


def _dmesg(result: dict) -> str:
    try:
        return Path(result["report"], "dmesg.txt").read_text(errors="replace")
    except OSError:
        return ""


def show(as_json: bool) -> int:
    if as_json:
        print(json.dumps({"schema": 1, "scenarios": [vars(scenario) for scenario in SCENARIOS]}, indent=1))
        return OK
    for scenario in SCENARIOS:
        print(f"{scenario.name:25} {scenario.title}")
    return OK


def run(scenarios: Sequence[Scenario], given: Given, jobs: int, as_json: bool) -> int:
    outcomes: list[Outcome] = []
    if not as_json:
        print(f"KTAP version 1\n1..{len(scenarios)}", flush=True)
    try:
        with interrupted_means("the next run begins with the first scenario"), \
                threads(jobs or len(os.sched_getaffinity(0))) as pool:
            for number, outcome in enumerate(pool.map(lambda s: perform(s, given), scenarios), 1):
                outcomes.append(outcome)
                if not as_json:
                    _print(outcome, number)
    except (KeyboardInterrupt, SystemExit):
        if not as_json:
            with contextlib.suppress(OSError):  # nobody may be there to read it
                print(f"Bail out! stopped after {len(outcomes)} of {len(scenarios)} scenarios", flush=True)
        raise
    count = {verdict: sum(o.verdict == verdict for o in outcomes) for verdict in ("pass", "fail", "skip")}
    if as_json:
        print(json.dumps({"schema": 1, **count, "results": [vars(o) for o in outcomes]}, indent=1))
    else:
        print(f"# pass:{count['pass']} fail:{count['fail']} skip:{count['skip']}")
    return TEST_FAILED if count["fail"] else OK


def _print(outcome: Outcome, number: int) -> None:
    print(outcome.line(number), flush=True)
    if outcome.verdict != "fail":
        return
    for finding in outcome.findings:
        print(f"#   {finding['severity']} {finding['id']}: {finding['what']} [{finding['seconds']:.3f} s]; "
              f"{finding['hint']}")
    print(f"#   logs: {outcome.report}", flush=True)
