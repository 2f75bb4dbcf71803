# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots a machine in each setting of an experiment, several times, and makes tables of the results."""
import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from ..base.console import Progress, error, note
from ..base.errors import OK, TEST_FAILED, BadInput, Failure
from ..base.parallel import threads
from ..base.paths import BUILD
from ..guest import linux
from ..guest.given import Given
from ..guest.machine import MachineOptions, parse_size, show_size
from ..guest.initramfs import busybox
from ..guest.request import Request
from ..provision import given_kernel, snp_userland
from ..provision.cache import Cache
from ..snp_guest.guest import SnpGuest, pack
from . import tables
from .catalogue import EXPERIMENTS, GUEST_COMMAND, Experiment, Setting, script
from .results import Boot

PROGRAMS = tuple(BUILD / "guest-tests" / name for name in ("snp-guest", "workload"))
TAKES_AT_MOST = 1800  # seconds of real time after which a boot counts as hanging
MOST_REPEATS = 100
PICTURED = "workloads"  # its picture is experiment.svg; the others are named after their experiment


@dataclass
class Plan:
    """What the user asked for."""
    repeat: int = 3
    jobs: int = 1
    phases: Sequence[str] = ()  # (): all
    settings: Sequence[str] = ()
    given: Given = field(default_factory=Given)
    output: Path = field(default_factory=Path)
    snp_guest: Path | None = None  # its archive, if an experiment boots one

    def check(self, experiments: Iterable[Experiment]) -> None:
        if not 1 <= self.repeat <= MOST_REPEATS:
            raise BadInput(f"--repeat {self.repeat}: give a number from 1 to {MOST_REPEATS}")
        if self.jobs < 1:
            raise BadInput(f"--jobs {self.jobs}: give a number of boots at a time")
        if self.given.machine.get("measure") == "off":
            raise BadInput("--measure off: nothing to show: give exact, exact+tlb or sampled=N")
        for experiment in experiments:
            _known("phase", self.phases, experiment.phases, experiment.name)
            _known("setting", self.settings, [s.name for s in experiment.settings], experiment.name)

    def phases_of(self, experiment: Experiment) -> tuple[str, ...]:
        return tuple(p for p in experiment.phases if not self.phases or p in self.phases)

    def settings_of(self, experiment: Experiment) -> tuple[Setting, ...]:
        return tuple(s for s in experiment.settings if not self.settings or s.name in self.settings)


def _known(what: str, wanted: Sequence[str], there: Sequence[str], name: str) -> None:
    for one in wanted:
        if one not in there:
            raise BadInput(f"--{what} {one}: the experiment {name} has {', '.join(there)}")


def _mark(measure: str) -> str:
    """The option of rmpopt-mark for a value of --measure."""
    return {"exact": "--on", "exact+tlb": "--on tlb"}.get(measure, f"--on {measure.removeprefix('sampled=')}")


def _machine(experiment: Experiment, setting: Setting) -> MachineOptions:
    return MachineOptions(seed=0, memory=parse_size(experiment.memory), measure="exact",
                          rmpopt="on" if setting.rmpopt else "off")


def request(experiment: Experiment, setting: Setting, seed: int, plan: Plan) -> Request:
    """The boot for one repetition of a setting."""
    files = [*PROGRAMS, *([plan.snp_guest] if experiment.snp_guest and plan.snp_guest else [])]
    wanted = plan.given.onto(Request(files=files, machine=_machine(experiment, setting),
                                     timeout=TAKES_AT_MOST, report=_directory(plan, experiment, setting, seed)))
    wanted.machine.seed = (wanted.machine.seed or 0) + seed  # each repetition has its own
    wanted.command = script(experiment, setting, plan.phases_of(experiment), seed, _mark(wanted.machine.measure))
    return wanted


def _directory(plan: Plan, experiment: Experiment, setting: Setting, seed: int) -> Path:
    name = setting.name.replace("/", "-of-").replace(" ", "-")
    return plan.output / experiment.name / f"{name}.{seed}"


def perform(experiment: Experiment, setting: Setting, seed: int, plan: Plan) -> Boot:
    """Boots once and returns the results."""
    boot = Boot(setting.name, seed, _directory(plan, experiment, setting, seed))
    started = time.monotonic()
    try:
        boot.take(linux.boot(Cache(), request(experiment, setting, seed, plan)), experiment, setting,
                  plan.phases_of(experiment))
    except (Failure, OSError) as problem:
        boot.problem = str(problem)
    boot.seconds = round(time.monotonic() - started, 1)
    return boot


def _told(experiment: Experiment, boot: Boot) -> str:
    """One line about a finished boot."""
    head = f"{experiment.name}, {boot.setting}, boot {boot.seed}"
    if boot.problem:
        return f"{head}: {boot.problem} (logs: {boot.directory})"
    values = (f"{name} {tables.percent(boot.rate(name, 'store'))}" for name in boot.phases) if experiment.rates else ()
    where = f", guests in {','.join(map(str, boot.guests_in))}" if boot.guests_in else ""
    return f"{head}{where}: {', '.join(values) or 'done'} ({boot.seconds:.0f} s)"


def boots(experiment: Experiment, plan: Plan) -> Iterator[Boot]:
    """Yields each boot when it has finished. The settings take turns, so that an interrupted run has results for
    each."""
    wanted = [(setting, seed) for seed in range(1, plan.repeat + 1) for setting in plan.settings_of(experiment)]
    progress = Progress(f"experiment {experiment.name}: {len(wanted)} boots")
    failed = 0
    with threads(plan.jobs) as pool:
        for number, boot in enumerate(pool.map(lambda one: perform(experiment, *one, plan), wanted), 1):
            (error if boot.problem else note)(_told(experiment, boot))
            failed += bool(boot.problem)
            progress.update(f"{number} of {len(wanted)} boots")
            yield boot
    progress.done(f"{failed} of {len(wanted)} boots failed" if failed else "done")


def _prepare(where: Path) -> None:
    try:
        where.mkdir(exist_ok=True)
    except OSError as problem:
        raise BadInput(f"--output {where}: {problem.strerror}: give a directory that can be written") from problem


def _summary(experiment: Experiment, plan: Plan, done: list[Boot], made: list[tables.Table]) -> dict:
    machine = plan.given.onto(Request(machine=_machine(experiment, experiment.settings[0]))).machine
    return {"name": experiment.name, "title": experiment.title, "measure": machine.measure,
            "memory": show_size(machine.memory), "repeat": plan.repeat,
            "settings": {s.name: s.title for s in plan.settings_of(experiment)},
            "boots": [boot.as_json(plan.output) for boot in done], "tables": [table.as_json() for table in made]}


class Results:
    """The results of all experiments. The files are rewritten after each boot."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._summaries: dict[str, dict] = {}
        self._texts: dict[str, str] = {}
        _prepare(plan.output)

    def take(self, experiment: Experiment, done: list[Boot]) -> None:
        plan, where = self._plan, self._plan.output
        made = tables.of(experiment, done, plan.phases_of(experiment), plan.settings_of(experiment))
        self._summaries[experiment.name] = _summary(experiment, plan, done, made)
        self._texts[experiment.name] = "\n".join(tables.text(table) for table in made)
        (where / "experiment.json").write_text(self.document())
        (where / "experiment.txt").write_text(self.text())
        if experiment.rates:
            name = "experiment.svg" if experiment.name == PICTURED else f"{experiment.name}.svg"
            (where / name).write_text(tables.picture(made[0]))

    def document(self) -> str:
        return json.dumps({"schema": 1, "experiments": list(self._summaries.values())}, indent=1) + "\n"

    def text(self) -> str:
        return "\n".join(self._texts.values())


def show(as_json: bool) -> int:
    if as_json:
        print(json.dumps({"schema": 1, "experiments": [
            {"name": e.name, "title": e.title, "phases": e.phases,
             "settings": {s.name: s.title for s in e.settings}} for e in EXPERIMENTS]}, indent=1))
        return OK
    for experiment in EXPERIMENTS:
        print(f"{experiment.name:10} {experiment.title}")
    return OK


def _pack_guest(directory: Path) -> Path:
    cache = Cache()
    inner = SnpGuest(command=GUEST_COMMAND)
    inner.write_files(directory, given_kernel.find(cache, inner.kernel))
    return pack(directory, snp_userland.ensure(cache, busybox()))


def run(experiments: Sequence[Experiment], plan: Plan, as_json: bool) -> int:
    with tempfile.TemporaryDirectory(prefix="rmpopt-") as scratch:
        if any(experiment.snp_guest for experiment in experiments):
            plan.snp_guest = _pack_guest(Path(scratch))
        return _run(experiments, plan, as_json)


def _run(experiments: Sequence[Experiment], plan: Plan, as_json: bool) -> int:
    results = Results(plan)
    failed = False
    for experiment in experiments:
        done: list[Boot] = []
        with closing(boots(experiment, plan)) as each:
            for boot in each:
                done.append(boot)
                failed = failed or bool(boot.problem)
                results.take(experiment, done)
    print(results.document() if as_json else results.text(), end="")
    note(f"results: {plan.output}")
    return TEST_FAILED if failed else OK
