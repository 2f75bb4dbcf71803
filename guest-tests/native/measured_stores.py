#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs tests/measure.c, measure_guests.c or tlb.c in a measured guest and compares what was counted with what it printed.

Usage: measured_stores.py exact|TLB|SAMPLES RUNNER [ARGUMENT...]
RUNNER with its arguments starts the guest test; --measure, --report and --append are added.
"exact": every count must be the one that the guest printed, and nothing else may be counted in its
regions. TLB, such as 64/2048x16: likewise, with data TLBs of
this size modelled. SAMPLES, an interval: the skip rates and the numbers of stores of 1000 equal phases, sampled,
must lie in their confidence intervals at least 930 times.
"""
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

ROUNDS = 1000
ENOUGH = 930  # of ROUNDS, at 95 %: true intervals miss that once in five hundred runs
OUTCOMES = ("checked", "skipped", "off")
LEVELS = {"stores": "store", "fills": "fill"}
Counts = dict[tuple, int]  # by level, core, GiB, accessor, outcome


def run(runner: list[str], mode: str, rounds: int, tlb: str = "64/2048x16") -> tuple[str, dict]:
    """Runs the test; returns the guest's output and the plugin's measurement."""
    with tempfile.TemporaryDirectory(prefix="rmpopt-") as directory:
        report = Path(directory, "report.json")
        done = subprocess.run([*runner, "--measure", mode, "--tlb", tlb, "--report", str(report), "--append",
                               f"rounds={rounds} interval={mode.partition('=')[2] or 0} "
                               f"l2={tlb.partition('/')[2].partition('x')[0]}"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"measured_stores.py: the guest test failed: {(done.stdout + done.stderr)[-2000:]}")
        return done.stdout, json.loads(report.read_text())


def expectations(output: str, cpu_core: list[int], levels: dict[str, str]) -> tuple[dict[str, Counts], dict[str, int]]:
    """The expectations that the guest printed, by phase: cells of these levels, and stores to devices."""
    cells: dict[str, Counts] = defaultdict(lambda: defaultdict(int))
    devices = {}
    for line in output.splitlines():
        if not line.startswith("# expect"):
            continue
        words = dict(word.split("=", 1) for word in line.split()[2:])
        if line.startswith("# expect-device"):
            devices[words["phase"]] = int(words["stores"])
            continue
        for name, level in levels.items():
            if name in words:
                cells[words["phase"]][level, cpu_core[int(words["cpu"])], int(words["gb"]),
                                      words.get("accessor", "host"), words["outcome"]] += int(words[name])
    return cells, devices


def counted(phase: dict, levels: set[str]) -> Counts:
    """The cells of the regions that only the test's stores go to: all but the first, where the test itself runs."""
    found: Counts = defaultdict(int)
    for core, gb, accessor, level, *numbers in phase["cells"]:
        if gb == 0 or level not in levels:
            continue
        for outcome, number in zip(OUTCOMES, numbers):
            if number:
                found[level, core, gb, accessor, outcome] += number
    return found


def differences(phases: dict[str, dict], cells: dict[str, Counts]) -> list[str]:
    """Compares a phase with its expectations, for those levels for which it has any."""
    problems = []
    for name, want in cells.items():
        got = counted(phases.get(name, {"cells": []}), {key[0] for key in want})
        if got != {key: number for key, number in want.items() if number}:
            problems.append(f"phase {name}: counted {dict(got)}, executed {dict(want)}")
    return problems


def sums_agree(measured: dict) -> list[str]:
    """Compares the sum of all cells with the report's totals."""
    stores = sum(sum(cell[4:]) for cell in measured["cells"] if cell[3] == "store")
    said = sum(estimate["stores"] for estimate in measured["estimates"])
    return [] if stores == said else [f"cells have {stores} stores, the estimate says {said}"]


def exact(runner: list[str], mode: str, tlb: str) -> list[str]:
    output, report = run(runner, mode, 0, tlb)
    measured = report["measure"]
    levels = LEVELS if measured["tlb"] else {"stores": LEVELS["stores"]}
    cells, devices = expectations(output, report["cpu_core"], levels)
    problems = sums_agree(measured)
    phases = {phase["name"]: phase for phase in measured["phases"] if phase["name"]}
    if not cells or set(cells) | set(devices) != set(phases):
        problems.append(f"phases differ: {sorted(set(cells) ^ set(phases))}")
    problems += differences(phases, cells)
    if measured["tlb"] and measured["tlb"]["stale"]:
        problems.append(f"{measured['tlb']['stale']} translations outlived what ends them")
    for name, stores in devices.items():
        if phases[name]["device"] != stores:
            problems.append(f"phase {name}: counted {phases[name]['device']} device stores, executed {stores}")
    print(f"{len(phases)} phases, {sum(sum(c.values()) for c in cells.values())} stores or fills compared")
    return problems


def mixed(runner: list[str], mode: str, rounds: int) -> list[dict]:
    _, report = run(runner, mode, rounds)
    return [phase["estimates"][0] for phase in report["measure"]["phases"] if phase["name"] == "mixed"]


def sampled(runner: list[str], interval: int) -> list[str]:
    truth = mixed(runner, "exact", 2)[1]
    samples = mixed(runner, f"sampled={interval}", ROUNDS)
    problems = [] if len(samples) == ROUNDS else [f"{len(samples)} of {ROUNDS} phases"]
    for what, value, low, high in (("skip rate", "skip_rate", "low", "high"),
                                   ("stores", "stores", "stores_low", "stores_high")):
        hits = sum(sample[low] is not None and sample[low] <= truth[value] <= sample[high] for sample in samples)
        mean = sum(sample[value] or 0 for sample in samples) / len(samples)
        print(f"{what}: {truth[value]:.6g}, mean of the samples {mean:.6g}, {hits} of {len(samples)} intervals hold it")
        if hits < ENOUGH:
            problems.append(f"{what}: only {hits} of {len(samples)} intervals hold {truth[value]}")
    return problems


def main(words: list[str]) -> int:
    if len(words) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    mode, *runner = words
    if mode.isdigit():
        problems = sampled(runner, int(mode))
    elif mode == "exact":
        problems = exact(runner, mode, "zen5")
    else:
        problems = exact(runner, "exact+tlb", mode)
    for problem in problems:
        print(f"not ok: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
