# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benchmarks have in common: variants of a machine are measured in turn, again and again, and the figure to
quote is the median of the ratios within a round. A machine that gets slower meanwhile does not change that."""
import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
RMPOPT = TOP / "scripts" / "rmpopt"
STORES = TOP / "build" / "guest-tests" / "benchmark-stores.elf"
# What a machine with our plugin has, and Linux sets up; to be added to one without.
IOMMU = "--qemu-opts=-device amd-iommu,xtsup=on"

Figures = dict[str, float]  # seconds, by what took them


@dataclass(frozen=True)
class Benchmark:
    variants: dict[str, list[str]]  # options of each; the first one is what the others are compared with
    measure: Callable[[list[str]], Figures]


def rmpopt(*words: str | Path) -> str:
    """What it prints; ends the benchmark if it fails."""
    done = subprocess.run([RMPOPT, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{Path(sys.argv[0]).name}: 'rmpopt {' '.join(map(str, words))}' ended with status "
                 f"{done.returncode}: {(done.stdout + done.stderr).strip().splitlines()[-1:]}")
    return done.stdout


def spread(values: list[float]) -> Figures:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def run(name: str, benchmark: Benchmark, rounds: int, machine: list[str]) -> dict[str, dict[str, dict[str, Figures]]]:
    """By figure, then by variant: seconds, and ratio to the first variant."""
    taken: list[dict[str, Figures]] = []
    for n in range(rounds + 1):  # the first round only warms caches
        taken.append({variant: benchmark.measure(machine + options)
                      for variant, options in benchmark.variants.items()})
        print(f"{name}: round {n}/{rounds}", file=sys.stderr)
    plain = next(iter(benchmark.variants))
    return {figure: {variant: {"seconds": spread([t[variant][figure] for t in taken[1:]]),
                               "ratio": spread([t[variant][figure] / t[plain][figure] for t in taken[1:]])}
                     for variant in benchmark.variants}
            for figure in taken[0][plain]}


def show(result: dict[str, dict[str, dict[str, Figures]]]) -> None:
    print(f"{'':15}{'':22}{'seconds (min median max)':>28}{'ratio to first (same)':>28}")
    for figure, variants in result.items():
        for variant, kinds in variants.items():
            cells = ("  ".join(f"{kinds[kind][k]:7.3f}" for k in ("min", "median", "max")) for kind in kinds)
            print(f"{figure:15}{variant:22}" + "".join(f"{cell:>28}" for cell in cells))


def main(about: str, benchmarks: dict[str, Benchmark], rounds: int = 7, smp: str = "1") -> None:
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("-n", "--rounds", type=int, default=rounds, help=f"counted rounds ({rounds})")
    parser.add_argument("--smp", default=smp, help=f"CPUs of the guest ({smp})")
    parser.add_argument("--mem", help="memory of the guest")
    parser.add_argument("--plugin", help="plugin of another build directory")
    parser.add_argument("--kinds", default=",".join(benchmarks), help="some of " + ",".join(benchmarks))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    kinds = options.kinds.split(",")
    if options.rounds < 1 or not set(kinds) <= set(benchmarks):
        parser.error("give a number of rounds from 1 on, and kinds of " + ",".join(benchmarks))
    machine = ["--smp", options.smp, *(word for name in ("mem", "plugin") if getattr(options, name)
                                       for word in (f"--{name}", getattr(options, name)))]
    result = {figure: variants for kind in kinds
              for figure, variants in run(kind, benchmarks[kind], options.rounds, machine).items()}
    print(json.dumps(result, indent=1)) if options.json else show(result)
