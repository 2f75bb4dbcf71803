# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots the cases of an experiment and collects what was measured."""
import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .console import Progress, note
from .errors import OK, TEST_FAILED, BadInput, Failure
from .experiment_tables import human, picture
from .experiments import EXPERIMENTS, Case, Experiment, find, script
from .paths import BUILD, PROGRAM
from .reporting.measured import load, sums
from .shell import last_line, output

TAKES_AT_MOST = 3600
TOOLS = ("snp-guest", "workload")


@dataclass
class Settings:
    measure: str = "exact+tlb"
    repeat: int = 3
    boot_options: tuple[str, ...] = ()
    only: tuple[str, ...] = ()  # workloads
    cases: tuple[str, ...] = ()
    output: Path | None = None


@dataclass
class Reading:
    """Of one phase of one boot."""
    experiment: str
    case: str
    phase: str
    run: int
    stores: int
    store_rate: float | None
    fills: int
    fill_rate: float | None
    rmpopt: dict = field(default_factory=dict)
    rmpupdate: int = 0
    seconds: float = 0.0


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _readings(experiment: Experiment, case: Case, run: int, directory: Path) -> list[Reading]:
    measured = load(directory)
    names = {"": experiment.first_phase} if experiment.from_start else {}
    out = []
    for phase in measured.phases:
        name = names.get(phase["name"], phase["name"])
        if not name:
            continue
        stores, fills = (sums(phase["cells"], level, "host") for level in ("store", "fill"))
        end = phase["end"] if phase["end"] is not None else measured.seconds
        out.append(Reading(experiment.name, case.name, name, run, stores.total, stores.rate, fills.total, fills.rate,
                           phase["rmpopt"], phase["rmpupdate"], end - phase["start"]))
    return out


def _boot(experiment: Experiment, case: Case, directory: Path, settings: Settings) -> None:
    files = [word for tool in TOOLS for word in ("--file", str(BUILD / "guest-tests" / tool))]
    measure = settings.measure if experiment.from_start else "off"
    status, text, problems = output(
        [PROGRAM, "boot", "--mem", experiment.memory, *case.options, *settings.boot_options, *files,
         "--measure", measure, "--timeout", str(TAKES_AT_MOST), "--report", str(directory), "--",
         script(experiment, case, settings.measure, settings.only)], timeout=TAKES_AT_MOST)
    if status != OK:
        raise Failure(f"experiment {experiment.name}, {case.name}: the boot ended with status {status}: "
                      f"{last_line(text) or last_line(problems)} (report: {directory})", TEST_FAILED)


def _check_case(experiment: Experiment, settings: Settings) -> list[Case]:
    picked = [case for case in experiment.cases if not settings.cases or case.name in settings.cases]
    if not picked:
        raise BadInput(f"experiment {experiment.name} has no such case: give some of "
                       + ", ".join(f"'{case.name}'" for case in experiment.cases))
    return picked


def perform(experiment: Experiment, settings: Settings, where: Path) -> list[Reading]:
    """Runs in turn through all cases, so that what changes on the machine meets all of them."""
    cases = _check_case(experiment, settings)
    readings: list[Reading] = []
    progress = Progress(f"experiment {experiment.name}: {settings.repeat} boots of {len(cases)} cases")
    for run in range(1, settings.repeat + 1):
        for case in cases:
            directory = where / f"{experiment.name}-{_slug(case.name)}-{run}"
            progress.update(f"boot {run} of {settings.repeat}, {case.name}")
            _boot(experiment, case, directory, settings)
            readings += _readings(experiment, case, run, directory)
            _keep(where, experiment, readings)
    progress.done(f"{len(readings)} phases measured")
    return readings


def _keep(where: Path, experiment: Experiment, readings: list[Reading]) -> None:
    """After each boot, so that a later one that fails costs nothing."""
    rows = [asdict(reading) for reading in readings]
    (where / f"{experiment.name}.json").write_text(
        json.dumps({"schema": 1, "experiment": experiment.name, "readings": rows}, indent=1) + "\n")
    (where / f"{experiment.name}.txt").write_text(human(experiment, rows) + "\n")
    if not experiment.work_only:
        (where / f"{experiment.name}.svg").write_text(picture(experiment, rows))


def chosen(names: Sequence[str]) -> list[Experiment]:
    if "all" in names:
        return list(EXPERIMENTS)
    picked = []
    for name in names:
        experiment = find(name)
        if experiment is None:
            raise BadInput(f"no experiment '{name}': give list, all, or some of "
                           + ", ".join(one.name for one in EXPERIMENTS))
        picked.append(experiment)
    return picked


def show(as_json: bool) -> int:
    if as_json:
        print(json.dumps({"schema": 1, "experiments": [asdict(one) for one in EXPERIMENTS]}, indent=1))
        return OK
    for experiment in EXPERIMENTS:
        print(f"{experiment.name:12} {experiment.title}")
        print(f"{'':12} cases: " + ", ".join(case.name for case in experiment.cases))
    return OK


def _directory(wanted: Path | None) -> Path:
    where = wanted or Path(tempfile.mkdtemp(prefix="rmpopt-experiment-"))
    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise BadInput(f"--output {where}: {problem.strerror}: give a directory that can be written") from problem
    return where


def run(names: Sequence[str], settings: Settings, as_json: bool) -> int:
    picked = chosen(names)
    where = _directory(settings.output)
    results = []
    for experiment in picked:
        rows = [asdict(reading) for reading in perform(experiment, settings, where)]
        results.append({"experiment": experiment.name, "readings": rows})
        if not as_json:
            print(human(experiment, rows), flush=True)
    if as_json:
        print(json.dumps({"schema": 1, "experiments": results}, indent=1))
    note(f"tables, pictures and the report of each boot: {where}")
    return OK
