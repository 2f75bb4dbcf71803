# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads report.json and events.jsonl of a report directory."""
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ..base.errors import BadInput
from . import clock, shape

SCHEMA = 1
OUTCOMES = ("checked", "skipped", "off")
LEVELS = ("store", "fill")
IN_NO_PHASE = "in no phase"
PLACEMENT = ("where the kernel places memory varies from boot to boot, and with it the skip rates: 'rmpopt experiment' "
             "repeats boots")
UNMEASURED = "nothing was measured: boot with --measure exact, or use 'rmpopt ctl measure on' while the guest runs"


@dataclass(frozen=True)
class Sum:
    """Numbers of writes: RMP-checked, check skipped by RMPOPT, and made while SNP was off."""
    checked: int = 0
    skipped: int = 0
    off: int = 0

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(self.checked + other.checked, self.skipped + other.skipped, self.off + other.off)

    @property
    def total(self) -> int:
        return self.checked + self.skipped + self.off

    @property
    def rate(self) -> float | None:
        """The share of the checks due that RMPOPT saved; None if no check was due."""
        due = self.checked + self.skipped
        return self.skipped / due if due else None


def sums(cells: list[list], level: str, accessor: str | None = None) -> Sum:
    total = Sum()
    for _core, _gb, who, its_level, *numbers in cells:
        if its_level == level and accessor in (None, who):
            total += Sum(*numbers)
    return total


def phase_name(phase: dict) -> str:
    return phase["name"] or "before the first mark"


@dataclass
class Measured:
    """A report and its events."""
    directory: Path
    report: dict
    events: list[dict] = field(default_factory=list)
    lost: bool = False  # the last event was cut off: QEMU was killed
    restarted: bool = False  # the guest was reset, and its times have been made to go on
    options: dict | None = None  # what the user chose; None if it is not known
    release: str = ""  # of the kernel; "" if it is not known

    @property
    def measure(self) -> dict | None:
        return self.report["measure"]

    @property
    def phases(self) -> list[dict]:
        return self.measure["phases"] if self.measure else []

    @property
    def cells(self) -> list[list]:
        return self.measure["cells"] if self.measure else []

    @property
    def has_marks(self) -> bool:
        return any(phase["name"] or phase["end"] is not None for phase in self.phases)

    @property
    def outside(self) -> list[list]:
        """The cells with what was counted outside all phases."""
        left = {tuple(cell[:4]): Sum(*cell[4:]) for cell in self.cells}
        for phase in self.phases:
            for *where, checked, skipped, off in phase["cells"]:
                left[tuple(where)] = left.get(tuple(where), Sum()) + Sum(-checked, -skipped, -off)
        return [[*where, *vars(found).values()] for where, found in left.items()
                if found != Sum() and min(vars(found).values()) >= 0]

    @property
    def what(self) -> str:
        """The machine, described in a few words."""
        if not self.report["cpus"]:
            return f"{self.report['persona']}, whose guest did not begin"
        return (f"{self.report['persona']}, {self.report['cpus']} CPUs in {self.report['cores']} cores, "
                f"{self.regions} regions of 1 GB")

    @property
    def mode(self) -> str:
        if not self.measure:
            return "not measured"
        interval = f", on average one block in {self.measure['interval']}" if self.measure["interval"] else ""
        tlb = f", data TLBs modelled as {self.measure['tlb']['preset']}" if self.measure["tlb"] else ""
        return self.measure["mode"] + interval + tlb

    @property
    def regions(self) -> int:
        return len(self.report["regions"])

    @property
    def seconds(self) -> float:
        """The guest time that the pictures cover."""
        times = [event["t"] for event in self.events[-1:]] + [phase["end"] or phase["start"] for phase in self.phases]
        return max(times + [self.measured_seconds or 0.0])

    @property
    def measured_seconds(self) -> float | None:
        """The guest time during which stores were counted. Unknown if the guest was reset."""
        return self.measure["seconds"] if self.measure and not self.restarted else None

    @property
    def accessors(self) -> list[str]:
        found = Counter(cell[2] for cell in self.cells)
        return [name for name in shape.ACCESSORS if found[name]]

    def of(self, kind: str) -> list[dict]:
        return [event for event in self.events if event["type"] == kind]


def _report(path: Path) -> dict:
    try:
        report = json.loads(path.read_text(errors="replace"))
    except OSError as problem:
        raise BadInput(f"{path}: {problem.strerror}: give the directory of 'rmpopt boot --report'") from problem
    except ValueError as problem:
        raise BadInput(f"{path}: no JSON ({problem}): measure again") from problem
    if not isinstance(report, dict) or report.get("schema") != SCHEMA or "measure" not in report:
        raise BadInput(f"{path}: not a report of this version (schema {SCHEMA}): measure again")
    try:
        return shape.checked_report(report)
    except shape.Misshapen as problem:
        raise BadInput(f"{path}: not a report as the plugin writes it: {problem}: measure again") from problem


def _events(path: Path, report: dict) -> tuple[list[dict], bool]:
    """The events, and whether the last line is incomplete because QEMU was killed."""
    if not path.exists():
        return [], False
    try:
        *lines, rest = path.read_text(errors="replace").split("\n")
    except OSError as problem:
        raise BadInput(f"{path}: {problem.strerror}: give the directory of 'rmpopt boot --report'") from problem
    events = []
    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
            shape.check_event(event, report["cores"], len(report["regions"]))
        except ValueError as problem:
            raise BadInput(f"{path}:{number}: no event ({problem}): measure again") from problem
        events.append(event)
    return events, bool(rest)


def _chosen(path: Path) -> tuple[dict | None, str]:
    """The options and the kernel's release, from what boot has left. Another tool's boot leaves nothing."""
    try:
        result = json.loads(path.read_text())
        return dict(result["options"]), str(result["guest"]["release"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, ""


def load(directory: Path) -> Measured:
    report = _report(directory / "report.json")
    events, lost = _events(directory / "events.jsonl", report)
    found = Measured(directory, report, events, lost, clock.in_a_row(events), *_chosen(directory / "result.json"))
    if found.restarted:
        clock.shift_phases(found.phases, events)
    return found
