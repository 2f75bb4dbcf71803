# SPDX-License-Identifier: GPL-2.0-or-later
"""Two small experiments, run as a user does: what they show must be what is known beforehand."""
import json
import tempfile
from pathlib import Path

from .errors import OK
from .experiments import EMPTY_AGAIN, EMPTY_FIRST, FULL
from .paths import PROGRAM
from .shell import last_line, output
from .suites import Checks

TAKES_AT_MOST = 400
ENTRIES = 512  # of 2 MB, in a region
LOAD = "memcpy"  # touches all memory, so that chance plays no part


def _run(directory: str, *words: str) -> dict | str:
    """The experiment's part of experiment.json; text: what is wrong."""
    status, text, problem = output([PROGRAM, "experiment", *words, "--json", "--repeat", "1", "--output", directory],
                                   timeout=TAKES_AT_MOST)
    if status != OK:
        return f"status {status}: {last_line(problem)}"
    kept = json.loads(Path(directory, "experiment.json").read_text())
    if json.loads(text) != kept:
        return "experiment.json is not what was printed"
    return kept["experiments"][0]


def _values(shown: dict, number: int = 0) -> dict[tuple[str, str], float]:
    return {(cell["row"], cell["column"]): cell["mean"] for cell in shown["tables"][number]["cells"]}


def _passes() -> str | None:
    """A first pass looks at all entries of each clean region once, a second one at none of them; a full RMP is known
    by the first entry of a region."""
    with tempfile.TemporaryDirectory(prefix="rmpopt-") as directory:
        shown = _run(directory, "passes", "--mem", "3G", "--smp", "2")
    if isinstance(shown, str):
        return shown
    values, [boot] = _values(shown), shown["boots"]
    regions, cores = boot["regions"], 2
    first, again, full = (values[phase, "2 MB entries"] for phase in (EMPTY_FIRST, EMPTY_AGAIN, FULL))
    for phase in (EMPTY_FIRST, EMPTY_AGAIN, FULL):
        passes = values[phase, "passes"]
        if passes < 1 or values[phase, "RMPOPT"] != passes * regions * cores:
            return f"{phase}: {passes:.0f} passes, {values[phase, 'RMPOPT']:.0f} RMPOPT"
    if not first > again > full or again > first - ENTRIES or full > values[FULL, "passes"] * regions * cores:
        return f"2 MB entries: first {first:.0f}, second {again:.0f}, full {full:.0f}; {regions} regions"
    return None


def _workloads() -> str | None:
    """Nothing is saved without RMPOPT or with guests everywhere; with guests in half of the regions less than with
    none."""
    settings = [word for name in ("off", "on", "1/2", "all") for word in ("--setting", name)]
    with tempfile.TemporaryDirectory(prefix="rmpopt-") as directory:
        shown = _run(directory, "workloads", "--mem", "4G", "--phase", LOAD, *settings)
        missing = [name for name in ("experiment.txt", "experiment.svg", "workloads/1-of-2.1/report.json")
                   if not Path(directory, name).is_file()]
    if isinstance(shown, str):
        return shown
    off, on, half, everywhere = (_values(shown).get((LOAD, name)) for name in ("off", "on", "1/2", "all"))
    if missing:
        return f"no {', '.join(missing)}"
    if off != 0 or everywhere != 0 or on is None or half is None or not on > half:
        return f"skip rates: off {off}, on {on}, 1/2 {half}, all {everywhere}"
    return None


def experiment_tests() -> Checks:
    return [("experiment/passes", _passes), ("experiment/workloads", _workloads)]
