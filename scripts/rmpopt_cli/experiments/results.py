# SPDX-License-Identifier: GPL-2.0-or-later
"""The results of one boot of an experiment, and the check that the machine was in the state of the setting."""
import re
from dataclasses import dataclass, field
from pathlib import Path

from ..base.errors import OK
from ..base.shell import last_line
from ..guest.tables import not_optimised, online
from ..reporting.measured import Sum, sums
from .catalogue import BOOT, EMPTY_FIRST, Experiment, Setting

UNNAMED = (BOOT, EMPTY_FIRST)  # phases without a name in the plugin's report, because they end at the first mark
GUESTS_IN = re.compile(r"^# guests in ([\d,]+)$", re.M)
FAILED = re.compile(r"^# FAIL (.*)$", re.M)
WORK = ("passes", "rmpopt", "scans", "scanned_2m", "cycles", "rmpupdate", "guests")


@dataclass
class Boot:
    setting: str
    seed: int  # number of the repetition
    directory: Path
    seconds: float = 0.0
    problem: str = ""  # why its numbers are not used
    guests_in: list[int] = field(default_factory=list)  # GiB of the regions with guests
    optimised: int = 0  # number of optimised regions at the end
    regions: int = 0
    release: str = ""
    phases: dict[str, dict] = field(default_factory=dict)  # from the plugin's report, by name
    passes: list[dict] = field(default_factory=list)
    model: dict = field(default_factory=dict)

    def take(self, result: dict, experiment: Experiment, setting: Setting, wanted: tuple[str, ...]) -> None:
        """Reads what the boot returned."""
        self.problem = _problem(result, setting)
        found = GUESTS_IN.search(result["output"])
        self.guests_in = sorted({int(gib) for gib in found.group(1).split(",")}) if found else []
        report = result["plugin"]
        self.release = result["guest"]["release"]
        if not report or not report.get("measure"):
            self.problem = self.problem or "nothing was measured"
            return
        self.regions = len(report["regions"])
        self.optimised = sum(bool(region["optimised_cpus"]) for region in report["regions"])
        self.passes, self.model = (report["watch"] or {}).get("passes", []), report["measure"]["model"]
        self._take_phases(report["measure"]["phases"], [p for p in wanted if setting.boot or p != BOOT])
        missing = [name for name in wanted if name not in self.phases and (setting.boot or name != BOOT)]
        if missing:
            self.problem = self.problem or f"the guest did not measure {', '.join(missing)}"
        elif experiment.rates and setting.settled and setting.rmpopt and not self.problem:
            self.problem = _unsettled(result)

    def _take_phases(self, phases: list[dict], wanted: list[str]) -> None:
        first = next((name for name in wanted if name in UNNAMED), "")
        for phase in phases:
            name = phase["name"] or first
            if name in wanted and phase["end"] is not None:
                self.phases[name] = phase

    def sum(self, name: str, level: str) -> Sum:
        """The host's writes in a phase, at one level."""
        return sums(self.phases[name]["cells"], level, "host") if name in self.phases else Sum()

    def rate(self, name: str, level: str) -> float | None:
        """The share of RMP checks that RMPOPT saved."""
        return self.sum(name, level).rate

    def work(self, name: str) -> dict[str, int]:
        """The work of RMPOPT in a phase, without the RMPOPTs that only query the table."""
        phase = self.phases[name]
        counted = phase["rmpopt"]
        executed = counted["scans"] + counted["cached"]
        cycles = (self.model["rmpopt_base_cycles"] * executed +
                  self.model["rmpopt_entry_cycles"] * counted["scanned_2m"])
        passes = sum(phase["start"] <= p["start"] < phase["end"] for p in self.passes)
        return {"passes": passes, "rmpopt": executed, "scans": counted["scans"], "scanned_2m": counted["scanned_2m"],
                "cycles": round(cycles), "rmpupdate": phase["rmpupdate"], "guests": phase["guests"]["launched"]}

    def as_json(self, root: Path) -> dict:
        return {"setting": self.setting, "seed": self.seed, "problem": self.problem, "seconds": self.seconds,
                "directory": str(self.directory.relative_to(root)), "kernel": self.release,
                "guests_in": self.guests_in, "regions": self.regions, "optimised": self.optimised,
                "phases": {name: {"host": {level: vars(self.sum(name, level)) for level in ("store", "fill")
                                           if self.sum(name, level).total},
                                  "work": self.work(name)} for name in self.phases}}


def _problem(result: dict, setting: Setting) -> str:
    """Why the boot failed, or how the machine differs from the setting."""
    said = FAILED.search(result["output"])
    if said:
        return said.group(1).strip()
    if result["status"] != OK:
        more = f": {last_line(result['output'])}" if result["outcome"] == "guest-exit" else ""
        return f"{result['message']}{more}"
    executed = ((result["plugin"] or {}).get("counters") or {}).get("rmpopt", 0)
    if not setting.rmpopt and executed:
        return "the kernel executes RMPOPT on a CPU that lacks it"
    if setting.rmpopt and not executed:
        return "the kernel does not use RMPOPT"
    if not result["plugin"] or not result["plugin"].get("snp_enabled"):
        return "SNP is not in use"
    return ""


def _unsettled(result: dict) -> str:
    """Checks the RMPOPT table at the end. It is also the table of the measurement, because the guests still run."""
    missing = not_optimised(result["plugin"], online(result["guest"]))
    return f"not optimised though without assigned pages: regions {', '.join(map(str, missing))}" if missing else ""
