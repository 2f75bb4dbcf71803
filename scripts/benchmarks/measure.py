#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What counting RMP checks costs: CPU seconds of QEMU for a boot, for loops that only store and for
a set of workloads, without a plugin and with each way of measuring, in turn. The figure to quote is
the median of the ratios within a round. For the workloads the seconds are those that the guest saw
between start and end of each, so that the boot before them does not count."""
import argparse
import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from figures import IOMMU, cells, spread

TOP = Path(__file__).resolve().parents[2]
RMPOPT = TOP / "scripts/rmpopt"
STORES = TOP / "build/guest-tests/benchmark-stores.elf"
NAIVE = TOP / "build/plugin/benchmarks/libnaive-count.so"
LOOP = re.compile(r"# benchmark (\w+) (\d+) ms")
WORK = re.compile(r"^(\w+): .*seconds ([\d.]+)$", re.M)
PLAIN = "no plugin"
VARIANTS = {
    PLAIN: ["--no-plugin"],
    "off": ["--rmp", "none"],  # the guest does the same work as without a plugin
    "exact": ["--rmp", "none", "--measure", "exact"],
    "exact+tlb": ["--rmp", "none", "--measure", "exact+tlb"],
    "sampled=1000": ["--rmp", "none", "--measure", "sampled=1000"],
    "naive counter": ["--no-plugin", f"--qemu-opts=-plugin {NAIVE}"],
}
WORKLOADS = ("files", "memcpy", "pagecache", "forks", "network")
Figures = dict[str, float]


def call(words: list[str]) -> str:
    done = subprocess.run([RMPOPT, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"measure.py: 'rmpopt {' '.join(map(str, words))}' ended with status {done.returncode}: "
                 f"{(done.stdout + done.stderr).strip().splitlines()[-1:]}")
    return done.stdout


def same_machine(options: list[str]) -> list[str]:
    """For Linux."""
    return [*options, IOMMU] if "--no-plugin" in options else options


def boot(options: list[str]) -> Figures:
    """CPU seconds of all that runs, less what rmpopt itself needs for nothing."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    call(["boot", *same_machine(options), "--", "true"])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"boot": after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime}


def loops(options: list[str]) -> Figures:
    return {name: int(ms) / 1000 for name, ms in LOOP.findall(call(["run", *options, str(STORES)]))}


def workloads(options: list[str]) -> Figures:
    program = TOP / "build/guest-tests/workload"
    command = "; ".join(f"/root/workload {name} || exit 1" for name in WORKLOADS)
    text = call(["boot", "--file", str(program), *same_machine(options), "--", command])
    return {name: float(seconds) for name, seconds in WORK.findall(text)}


KINDS: dict[str, Callable[[list[str]], Figures]] = {"boot": boot, "loops": loops, "workloads": workloads}


def measure(kind: str, rounds: int, machine: list[str]) -> dict[str, dict[str, dict[str, Figures]]]:
    taken: list[dict[str, Figures]] = []
    for n in range(rounds + 1):  # the first round only warms caches
        taken.append({name: KINDS[kind](machine + options) for name, options in VARIANTS.items()})
        print(f"{kind}: round {n}/{rounds}", file=sys.stderr)
    return {figure: {name: {"seconds": spread([t[name][figure] for t in taken[1:]]),
                            "ratio": spread([t[name][figure] / t[PLAIN][figure] for t in taken[1:]])}
                     for name in VARIANTS}
            for figure in taken[0][PLAIN]}


def show(result: dict[str, dict[str, dict[str, Figures]]]) -> None:
    print(f"{'':14}{'measure':15}{'seconds (min median max)':>28}{'ratio to no plugin':>26}")
    for figure, variants in result.items():
        for name, figures in variants.items():
            seconds, ratio = cells(figures, "6.2f")
            print(f"{figure:14}{name:15}{seconds:>28}{ratio:>26}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--rounds", type=int, default=5, help="counted rounds (5)")
    parser.add_argument("--smp", default="1")
    parser.add_argument("--kinds", default=",".join(KINDS), help="some of " + ",".join(KINDS))
    parser.add_argument("--plugin", help="plugin of another build directory")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    kinds = options.kinds.split(",")
    if options.rounds < 1 or not set(kinds) <= set(KINDS):
        parser.error("give a number of rounds from 1 on, and kinds of " + ",".join(KINDS))
    machine = ["--smp", options.smp, *(["--plugin", options.plugin] if options.plugin else [])]
    result = {}
    for kind in kinds:
        result.update(measure(kind, options.rounds, machine))
    print(json.dumps(result, indent=1)) if options.json else show(result)


if __name__ == "__main__":
    main()
