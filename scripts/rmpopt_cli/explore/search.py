# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs a scenario with drawn stalls, judges each run, and keeps what was found.

A directory holds a search: search.json says what is searched, results.jsonl has a line for each run, and each run that
failed has its report beside them. A search that was interrupted goes on where it stopped.
"""
import json
import os
import re
import shlex
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ..base.console import Progress, note, say
from ..base.errors import OK, TEST_FAILED, BadInput, Failure
from ..base.parallel import threads
from ..base.paths import COMMAND
from ..guest import symbols, watch
from ..guest.given import Given
from ..guest.stalls import Stall
from ..scenarios import runner
from ..scenarios.catalogue import Scenario
from . import findings, points
from .points import Turns

SETTINGS, RESULTS, BASELINE = "search.json", "results.jsonl", "baseline"
Perturbation = Stall | Turns
GRACE = 300  # seconds of guest time that a run may take longer than the one without stalls


@dataclass
class Search:
    scenario: Scenario
    given: Given
    words: list[str]  # of the command line that say what is searched, for the command that replays a run
    seeds: list[int]
    output: Path
    at: list[str] = field(default_factory=list)
    most: int = 3  # stalls in one run
    longest: int = 20_000_000  # nanoseconds of one stall
    mode: str = points.UNIFORM
    jobs: int = 0
    minimise: bool = False
    boots: bool = False  # explore the boot as well, from the moment when SNP is switched on
    enough: int = 0  # failed runs after which the search ends; 0: never
    until: str = ""  # a finding with which the search ends

    @property
    def explored(self) -> Scenario:
        """The scenario, whose points are those of its script and not of the boot or the wait at the end."""
        script = f"rmpopt-mark --points on\n{self.scenario.script}\nrmpopt-mark --points off"
        return self.scenario if self.boots else replace(self.scenario, script=script)

    def settings(self) -> dict:
        """What makes two searches the same."""
        return {"schema": 1, "scenario": asdict(self.scenario), "given": repr(self.given), "at": self.at,
                "most": self.most, "longest": self.longest, "mode": self.mode, "boots": self.boots}

    def perturbed(self, by: Sequence[Perturbation], **more: object) -> Given:
        stalls = [one for one in by if isinstance(one, Stall)]
        turns = {"turns": one.order for one in by if isinstance(one, Turns)}
        return Given({**self.given.boot, "stalls": stalls, "points": "on" if self.boots else "marked", **more},
                     {**self.given.machine, **turns})

    def replay(self, by: Sequence[Perturbation]) -> str:
        words = [word for one in by for word in
                 (("--turns", one.order) if isinstance(one, Turns) else ("--stall", str(one)))]
        return shlex.join([COMMAND, "explore", *words, *self.words])


@dataclass
class Run:
    """One seed and what came of it."""
    seed: int
    verdict: str
    finding: str  # what is the same in all runs that fail alike; "" if it passed
    detail: str
    stalls: list[str]  # or an order of turns
    minimised: list[str] | None = None
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        return self.verdict == "fail"


def perform(search: Search, by: list[Perturbation], report: Path, **more: object) -> runner.Outcome:
    shutil.rmtree(report, ignore_errors=True)
    return runner.perform(search.explored, search.perturbed(by, report=report, **more))


def finding_of(outcome: runner.Outcome) -> str:
    """The same for two runs that fail in the same way."""
    if outcome.verdict != "fail":
        return ""
    serious = [f["id"] for f in watch.serious(outcome.findings)]
    return serious[0] if serious else re.sub(r"0x[0-9a-f]+|[0-9]+(?:\.[0-9]+)?", "N", outcome.detail)[:90]


class _Baseline:
    """The run without stalls: it must pass, and it shows at which points CPUs can stall."""

    def __init__(self, search: Search) -> None:
        say(f"one run of {search.scenario.name} without stalls")
        outcome = perform(search, [], search.output / BASELINE, at=search.at)
        if outcome.verdict != "pass":
            raise Failure(f"it fails without any stall: {outcome.detail or outcome.verdict} (report: {outcome.report})",
                          TEST_FAILED)
        report = json.loads((search.output / BASELINE / "report.json").read_text())
        end = json.loads((search.output / BASELINE / "events.jsonl").read_text().splitlines()[-1])
        self.places = points.read(report, _symbols(search, outcome.report))
        self.cpus = report["cpus"]
        self.limit = int(end["t"]) + GRACE
        if not self.places:
            raise Failure("the kernel never switched SNP on, so there is nothing to explore", TEST_FAILED)
        note(f"{sum(place.times for place in self.places)} points in {len(self.places)} places, "
             f"{end['t']:.0f} s of guest time, {outcome.seconds:.1f} s")


def _symbols(search: Search, report: str) -> symbols.Symbols | None:
    """Of the kernel that was booted."""
    words = shlex.split((Path(report) / "command").read_text())
    return symbols.for_kernel(search.given.boot.get("symbols"), Path(words[words.index("-kernel") + 1]))


def done_before(output: Path) -> list[Run]:
    """The runs of a search whose results are in a directory. A line that was cut off does not count."""
    runs = []
    for line in (output / RESULTS).read_text().splitlines() if (output / RESULTS).exists() else []:
        try:
            runs.append(Run(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return runs


def _settle(search: Search) -> None:
    """Makes the directory that of this search."""
    search.output.mkdir(exist_ok=True)
    file = search.output / SETTINGS
    wanted = json.dumps(search.settings(), indent=1, default=str) + "\n"
    if file.exists() and file.read_text() != wanted:
        raise BadInput(f"--output {search.output}: it holds the results of another search: give another directory")
    file.write_text(wanted)


def _minimised(search: Search, by: list[Perturbation], finding: str, report: Path) -> list[Perturbation]:
    """Without what does not matter: the run fails alike without it. A stall remains, so that it can be replayed."""
    for one in list(by):
        fewer = [other for other in by if other is not one]
        if any(isinstance(other, Stall) for other in fewer) and finding_of(perform(search, fewer, report)) == finding:
            by = fewer
    return by


def _explore_one(search: Search, baseline: _Baseline, seed: int) -> Run:
    by: list[Perturbation] = [*(points.draw_turns(baseline.cpus, seed) if "turns" not in search.given.machine else []),
                              *points.draw(baseline.places, seed, search.most, search.longest, search.mode)]
    limited = replace(search, given=Given(search.given.boot,
                                          {"guest_timeout": baseline.limit, **search.given.machine}))
    report = search.output / f"seed-{seed}"
    started = time.monotonic()
    outcome = perform(limited, by, report)
    run = Run(seed, outcome.verdict, finding_of(outcome), outcome.detail, [str(one) for one in by])
    if run.failed and search.minimise:
        fewer = _minimised(limited, by, run.finding, search.output / f"seed-{seed}-fewer")
        run.minimised = [str(one) for one in fewer]
        shutil.rmtree(search.output / f"seed-{seed}-fewer", ignore_errors=True)
    if not run.failed:
        shutil.rmtree(report, ignore_errors=True)
    run.seconds = round(time.monotonic() - started, 1)
    return run


def _tell(search: Search, run: Run, heard: Callable[[str], None]) -> None:
    by = [points.parse(text) for text in run.minimised or run.stalls]
    heard(f"seed {run.seed}: {run.detail}")
    for one in by:
        heard(f"    {one.sentence()}")
    heard(f"    replay: {search.replay(by)}")


def explore(search: Search, heard: Callable[[str], None]) -> list[Run]:
    """Runs all seeds that have no result yet. Returns all results."""
    _settle(search)
    runs = [run for run in done_before(search.output) if run.seed in search.seeds]
    known = {run.seed for run in runs}
    left = [seed for seed in search.seeds if seed not in known]
    if known:
        note(f"{len(known)} of {len(search.seeds)} runs are in {search.output} already")
    if not left:
        return runs
    baseline = _Baseline(search)
    progress, started = Progress(f"exploring {len(left)} seeds"), time.monotonic()
    with threads(search.jobs or len(os.sched_getaffinity(0))) as pool, \
            (search.output / RESULTS).open("a") as results:
        for count, future in enumerate(as_completed([pool.submit(_explore_one, search, baseline, s) for s in left]), 1):
            run = future.result()
            runs.append(run)
            results.write(json.dumps(vars(run)) + "\n")
            results.flush()
            if run.failed:
                _tell(search, run, heard)
            per_minute = count * 60 / (time.monotonic() - started)
            if run.failed and (sum(r.failed for r in runs) == search.enough or run.finding == search.until):
                pool.shutdown(wait=False, cancel_futures=True)
                break
            progress.update(f"{count} of {len(left)}, {sum(r.failed for r in runs)} failed, {per_minute:.0f} a minute")
        progress.done(f"{count} runs, {sum(r.failed for r in runs)} failed, {per_minute:.0f} a minute")
    return runs


def replay(search: Search, by: list[Perturbation], times: int, heard: Callable[[str], None]) -> int:
    """Executes one run as often as asked for. Returns the exit status."""
    seen = []
    for number in range(times):
        outcome = perform(search, by, search.output / f"replay-{number + 1}")
        seen.append(finding_of(outcome))
        heard(f"{outcome.verdict}: {outcome.detail or 'nothing found'} (report: {outcome.report})")
    if len(set(seen)) > 1:
        heard(f"the {times} replays are not the same")
    return TEST_FAILED if any(seen) else OK


def finish(runs: list[Run], output: Path, as_json: bool) -> int:
    summary = findings.summary(runs)
    (output / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    print(json.dumps(summary, indent=1) if as_json else "\n".join(findings.lines(summary)))
    return TEST_FAILED if summary["failed"] else OK
