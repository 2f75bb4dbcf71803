# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads report.json and events.jsonl of a report directory."""
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import BadInput

SCHEMA = 1
OUTCOMES = ("checked", "skipped", "off")
LEVELS = ("store", "fill")
UNMEASURED = "nothing was measured: boot with --measure exact, or use 'rmpopt ctl measure on' while the guest runs"


@dataclass(frozen=True)
class Sum:
    """RMP checks of some writes: made, saved by RMPOPT, and not called for as SNP was off."""
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
        """The share that RMPOPT saved of the checks that there would be."""
        due = self.checked + self.skipped
        return self.skipped / due if due else None


def sums(cells: list[list], level: str, accessor: str | None = None) -> Sum:
    total = Sum()
    for _core, _gb, who, its_level, *numbers in cells:
        if its_level == level and accessor in (None, who):
            total += Sum(*numbers)
    return total


@dataclass
class Measured:
    """A report, with the events that led to it."""
    directory: Path
    report: dict
    events: list[dict] = field(default_factory=list)
    lost: bool = False  # the last event was cut off: QEMU was killed

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
        """Of guest time."""
        return max([event["t"] for event in self.events[-1:]] + [self.measure["seconds"] if self.measure else 0.0])

    @property
    def accessors(self) -> list[str]:
        found = Counter(cell[2] for cell in self.cells)
        return [name for name in ("host", "guest") if found[name]]

    def of(self, kind: str) -> list[dict]:
        return [event for event in self.events if event["type"] == kind]


def _report(path: Path) -> dict:
    try:
        report = json.loads(path.read_text())
    except OSError as problem:
        raise BadInput(f"{path}: {problem.strerror}: give the directory of 'rmpopt boot --report'") from problem
    except ValueError as problem:
        raise BadInput(f"{path}: no JSON ({problem}): measure again") from problem
    if not isinstance(report, dict) or report.get("schema") != SCHEMA or "measure" not in report:
        raise BadInput(f"{path}: not a report of this version (schema {SCHEMA}): measure again")
    return report


def _events(path: Path) -> tuple[list[dict], bool]:
    """All whole lines. A killed QEMU leaves the last one unfinished."""
    if not path.exists():
        return [], False
    *lines, rest = path.read_text(errors="replace").split("\n")
    events = []
    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
            if not isinstance(event["type"], str) or not isinstance(event["t"], (int, float)):
                raise ValueError("no event")
        except (ValueError, KeyError, TypeError) as problem:
            raise BadInput(f"{path}:{number}: no event ({problem}): measure again") from problem
        events.append(event)
    return events, bool(rest)


def load(directory: Path) -> Measured:
    report = _report(directory / "report.json")
    events, lost = _events(directory / "events.jsonl")
    return Measured(directory, report, events, lost)
