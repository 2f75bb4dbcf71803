#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What SNP guests cost in the emulated host: latency of the secure processor's commands, launch and
end of a guest, and many guests in a row, after which no page may be missing, QEMU may not have grown
by more than a bound and all RMPOPT tables must be right. Seconds are the guest's."""
import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from paired import RMPOPT, TOP, spread

SNP_GUEST = TOP / "build" / "guest-tests" / "snp-guest"
GROWTH_BOUND_KIB = 16 << 10  # of QEMU's own memory over all guests but the first hundred
SETTLE = 45  # seconds in which a kernel passes after the last guest, and the watch looks at it
PERCENTILES = re.compile(r"# (.+): p50 ([\d.]+) us, p99 ([\d.]+) us, max ([\d.]+) us")
PROGRESS = re.compile(r"# (\d+) of \d+ guests")


def own_memory_kib(parent: int) -> int:
    """Memory of QEMU that is not the guest's RAM."""
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        found = re.search(r"^RssAnon:\s+(\d+) kB$", Path(f"/proc/{child}/status").read_text(), re.M)
        if found:
            return int(found.group(1))
    return 0


class Boot:
    """A boot with one command; lines of its output, and QEMU's memory as each came."""

    def __init__(self, options: list[str], command: str) -> None:
        self.lines: list[str] = []
        self.memory: list[int] = []
        with tempfile.TemporaryDirectory() as report:
            words = [RMPOPT, "boot", "--watch-fatal", "--timeout", "7200", "--report", report, "--file", SNP_GUEST,
                     *options, "--", command]
            with subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  text=True) as process:
                assert process.stdout
                for line in process.stdout:
                    print(line.rstrip(), file=sys.stderr)
                    self.lines.append(line)
                    self.memory.append(own_memory_kib(process.pid))
            if process.returncode != 0:
                sys.exit(f"guests.py: 'rmpopt boot ... -- {command}' ended with status {process.returncode}")
            self.result = json.loads(Path(report, "result.json").read_text())

    def percentiles(self) -> dict[str, dict[str, float]]:
        """By what was measured, in us."""
        found = (PERCENTILES.match(line) for line in self.lines)
        return {f.group(1): {"p50": float(f.group(2)), "p99": float(f.group(3)), "max": float(f.group(4))}
                for f in found if f}


def latency(options: list[str], count: int) -> dict:
    return Boot(options, f"/root/snp-guest psp-latency {count}").percentiles()


def launches(options: list[str], size: str, count: int) -> dict:
    boot = Boot(options, "for i in " + " ".join(map(str, range(count))) + f"; do /root/snp-guest launch {size}; done")
    found = [re.match(r"# \d+ KiB: launch ([\d.]+) s, destroy ([\d.]+) s", line) for line in boot.lines]
    times = [(float(f.group(1)), float(f.group(2))) for f in found if f]
    return {"launch_s": spread([launch for launch, _ in times]), "destroy_s": spread([end for _, end in times])}


def cycle(options: list[str], count: int, size: str) -> dict:
    boot = Boot(options, f"/root/snp-guest cycle {count} {size} && sleep {SETTLE}")
    seen = [(int(f.group(1)), kib) for line, kib in zip(boot.lines, boot.memory) if (f := PROGRESS.match(line))]
    plugin = boot.result["plugin"]
    assigned = {row["gb"]: row["assigned_pages"] for row in plugin["regions"]}
    growth = seen[-1][1] - seen[0][1]
    return {"guests": count, "us": boot.percentiles(), "qemu_growth_kib": growth, "bound_kib": GROWTH_BOUND_KIB,
            "within_bound": growth <= GROWTH_BOUND_KIB, "assigned_pages_at_end": sum(assigned.values()),
            "regions_not_optimised": [row["gb"] for row in plugin["regions"]
                                      if not row["optimised_cpus"] and not row["assigned_pages"]],
            "findings": [finding["id"] for finding in plugin["watch"]["findings"]]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=10000, help="commands of the secure processor (10000)")
    parser.add_argument("--size", default="256M", help="of the guest that is launched (256M)")
    parser.add_argument("--launches", type=int, default=3, help="how often (3)")
    parser.add_argument("--cycles", type=int, default=1000, help="guests in a row, at least 200 (1000)")
    parser.add_argument("--cycle-size", default="256K", help="of each of them (256K)")
    parser.add_argument("--mem", default="4G")
    parser.add_argument("--smp", default="4,cores=2,threads=2")
    options = parser.parse_args()
    if options.commands < 1 or options.launches < 1 or options.cycles < 200:
        parser.error("give at least one command, one launch and 200 cycles")
    machine = ["--mem", options.mem, "--smp", options.smp]
    print(json.dumps({"command_latency_us": latency(machine, options.commands),
                      f"guest_of_{options.size}": launches(machine, options.size, options.launches),
                      "cycle": cycle(machine, options.cycles, options.cycle_size)}, indent=1))


if __name__ == "__main__":
    main()
