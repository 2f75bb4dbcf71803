#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What counting RMP checks costs: CPU seconds of QEMU for a boot, for loops that only store and for a set of workloads,
without a plugin and with each way of measuring. For the workloads the seconds are those that the guest saw between
start and end of each, so that the boot before them does not count."""
import re
import resource

from paired import IOMMU, TOP, Benchmark, Figures, main, rmpopt
from stores import loops

NAIVE = TOP / "build" / "plugin" / "benchmarks" / "libnaive-count.so"
WORKLOAD = TOP / "build" / "guest-tests" / "workload"
WORK = re.compile(r"^(\w+): .*seconds ([\d.]+)$", re.M)
WORKLOADS = ("files", "memcpy", "pagecache", "forks", "network")
VARIANTS = {
    "no plugin": ["--no-plugin"],
    "off": ["--rmp", "none"],  # the guest does the same work as without a plugin
    "exact": ["--rmp", "none", "--measure", "exact"],
    "exact+tlb": ["--rmp", "none", "--measure", "exact+tlb"],
    "sampled=1000": ["--rmp", "none", "--measure", "sampled=1000"],
    "naive counter": ["--no-plugin", f"--qemu-opts=-plugin {NAIVE}"],
}
LINUX = {name: [*options, IOMMU] if "--no-plugin" in options else options for name, options in VARIANTS.items()}


def boot(options: list[str]) -> Figures:
    """CPU seconds of all that runs."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    rmpopt("boot", *options, "--", "true")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"boot": after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime}


def workloads(options: list[str]) -> Figures:
    command = "; ".join(f"/root/workload {name} || exit 1" for name in WORKLOADS)
    text = rmpopt("boot", "--file", WORKLOAD, *options, "--", command)
    return {name: float(seconds) for name, seconds in WORK.findall(text)}


if __name__ == "__main__":
    main(__doc__, {"boot": Benchmark(LINUX, boot), "loops": Benchmark(VARIANTS, loops),
                   "workloads": Benchmark(LINUX, workloads)}, rounds=5)
