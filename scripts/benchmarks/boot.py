#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots the reference kernel with the plugin and without it, in turn, and prints how long each
boot took to reach init. The figure to quote is the median of the ratios within a round: a machine
that gets slower meanwhile does not change it."""
import argparse
import json
import subprocess
import sys
from pathlib import Path

from figures import IOMMU, cells, spread

RMPOPT = Path(__file__).resolve().parents[1] / "rmpopt"
PLAIN = "no plugin"
VARIANTS = {
    PLAIN: ["--no-plugin", IOMMU],
    "plugin, rmp=none": ["--rmp", "none"],  # the guest does the same work as without the plugin
    "plugin, enforce=off": ["--enforce", "off"],
    "plugin, enforce=on": ["--enforce", "on"],
}


def boot(options: list[str]) -> float:
    """Seconds to init."""
    run = subprocess.run([RMPOPT, "boot", "--json", *options], stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, check=False)
    if run.returncode != 0:
        sys.exit(f"boot.py: 'rmpopt boot {' '.join(options)}' ended with status {run.returncode}: "
                 f"{run.stderr.strip().splitlines()[-1:]}")
    return json.loads(run.stdout)["seconds"]["init"]


def measure(rounds: int, machine: list[str]) -> dict[str, dict[str, dict[str, float]]]:
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for n in range(rounds + 1):  # the first round only warms caches
        for name, options in VARIANTS.items():
            value = boot(machine + options)
            if n > 0:
                seconds[name].append(value)
            print(f"round {n}/{rounds}: {name}: {value:.2f} s", file=sys.stderr)
    return {name: {"seconds": spread(values),
                   "ratio": spread([v / p for v, p in zip(values, seconds[PLAIN])])}
            for name, values in seconds.items()}


def show(result: dict[str, dict[str, dict[str, float]]]) -> None:
    print(f"{'boot to init':22}{'seconds (min median max)':>28}{'ratio to no plugin':>26}")
    for name, figures in result.items():
        seconds, ratio = cells(figures, "6.2f")
        print(f"{name:22}{seconds:>28}{ratio:>26}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--rounds", type=int, default=7, help="counted rounds (7)")
    parser.add_argument("--mem", default="6G")
    parser.add_argument("--smp", default="4,cores=2,threads=2")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds: give a number from 1 on")
    result = measure(options.rounds, ["--mem", options.mem, "--smp", options.smp])
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        show(result)


if __name__ == "__main__":
    main()
