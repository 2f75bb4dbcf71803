#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs store-bound loops in a bare-metal guest with enforcement and without it, in turn, and prints
how long each took. The figure to quote is the median of the ratios within a round."""
import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

from figures import cells, spread

TOP = Path(__file__).resolve().parents[2]
RMPOPT = TOP / "scripts/rmpopt"
IMAGE = TOP / "build/guest-tests/benchmark-stores.elf"
LINE = re.compile(r"# benchmark (\w+) (\d+) ms")
BASE = "off"
VARIANTS = (BASE, "on", "strict")


def run(enforce: str, options: list[str]) -> dict[str, float]:
    """Seconds of each loop."""
    done = subprocess.run([RMPOPT, "run", "--enforce", enforce, *options, IMAGE], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    figures = {name: int(ms) / 1000 for name, ms in LINE.findall(done.stdout)}
    if done.returncode != 0 or not figures:
        sys.exit(f"stores.py: 'rmpopt run --enforce {enforce} {' '.join(options)}' ended with status "
                 f"{done.returncode}: {(done.stdout + done.stderr).strip().splitlines()[-1:]}")
    return figures


def measure(rounds: int, options: list[str]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """By loop, then by variant: seconds, and ratio to no enforcement."""
    taken: list[dict[str, dict[str, float]]] = []
    for n in range(rounds + 1):  # the first round only warms caches
        taken.append({variant: run(variant, options) for variant in VARIANTS})
        print(f"round {n}/{rounds}", file=sys.stderr)
    return {loop: {variant: {"seconds": spread([t[variant][loop] for t in taken[1:]]),
                             "ratio": spread([t[variant][loop] / t[BASE][loop] for t in taken[1:]])}
                   for variant in VARIANTS}
            for loop in taken[0][BASE]}


def show(result: dict[str, dict[str, dict[str, dict[str, float]]]]) -> None:
    print(f"{'loop':15}{'enforce':9}{'seconds (min median max)':>28}{'ratio to off':>26}")
    for loop, variants in result.items():
        for variant, figures in variants.items():
            seconds, ratio = cells(figures, "6.3f")
            print(f"{loop:15}{variant:9}{seconds:>28}{ratio:>26}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--rounds", type=int, default=7, help="counted rounds (7)")
    parser.add_argument("--smp", default="1")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds: give a number from 1 on")
    result = measure(options.rounds, ["--smp", options.smp])
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        show(result)


if __name__ == "__main__":
    main()
