# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's rmpopt-table and the plugin's, read and compared."""
import re
from collections.abc import Iterable

ROW = re.compile(r"^Memory @\s*(\d+)GB: CPU\(s\): (\S*)", re.M)

Table = dict[int, frozenset[int]]  # GiB -> CPUs for which it is optimised


def parse_cpulist(text: str) -> frozenset[int]:
    cpus: set[int] = set()
    for item in text.split(","):
        first, dash, last = item.partition("-")
        if first:
            cpus.update(range(int(first), int(last if dash else first) + 1))
    return frozenset(cpus)


def cpulist(cpus: Iterable[int]) -> str:
    """Linux's short form: 0-3,6."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def from_kernel(text: str) -> Table:
    return {int(gb): parse_cpulist("" if cpus == "none" else cpus) for gb, cpus in ROW.findall(text)}


def from_report(report: dict) -> Table:
    return {region["gb"]: parse_cpulist(region["optimised_cpus"]) for region in report.get("regions", [])}


def differences(kernel: Table, plugin: Table) -> list[int]:
    """Regions on which the two disagree. A region that only one lists counts as not optimised there."""
    nothing: frozenset[int] = frozenset()
    return [gb for gb in sorted(kernel.keys() | plugin.keys())
            if kernel.get(gb, nothing) != plugin.get(gb, nothing)]


def side_by_side(kernel: Table | None, plugin: Table | None, assigned: dict[int, int], missing: Table) -> list[str]:
    """Text rows; equal neighbours are folded into one."""
    def cell(table: Table | None, gb: int) -> str:
        if table is None:
            return "-"
        return cpulist(table.get(gb, frozenset())) or "none"

    rows: list[tuple[int, int, str, str, int, str]] = []
    for gb in sorted((kernel or {}).keys() | (plugin or {}).keys()):
        row = (gb, gb, cell(kernel, gb), cell(plugin, gb), assigned.get(gb, 0), cpulist(missing.get(gb, ())))
        if rows and rows[-1][1] == gb - 1 and rows[-1][2:] == row[2:]:
            rows[-1] = (rows[-1][0], gb, *row[2:])
        else:
            rows.append(row)
    lines = [f"{'GiB':>9}  {'kernel: CPUs':16} {'plugin: CPUs':16} {'assigned pages':>14}"]
    for first, last, ours, theirs, pages, lacking in rows:
        span = str(first) if first == last else f"{first}-{last}"
        mark = f"  <- not on CPUs {lacking}" if lacking else ""
        mark += "" if "-" in (ours, theirs) or ours == theirs else "  <- differ"
        lines.append(f"{span:>9}  {ours:16} {theirs:16} {pages:>14}{mark}")
    return lines


def online(guest: dict) -> frozenset[int]:
    """The CPUs that are, by what the guest says of itself."""
    return frozenset(int(cpu) for cpu, siblings in guest["siblings"].items() if siblings)


def not_optimised(report: dict, cpus: frozenset[int]) -> Table:
    """For each region without assigned pages that the kernel uses at all: those of the CPUs that have no bit for it."""
    left_alone = (report.get("watch") or {}).get("unmapped", [])
    clean = {region["gb"] for region in report.get("regions", []) if region["assigned_pages"] == 0}
    return {gb: cpus - have for gb, have in from_report(report).items()
            if gb in clean and gb not in left_alone and not cpus <= have}


def how_many(report: dict, cpus: frozenset[int]) -> str:
    """How many regions are optimised on all of the CPUs, and on some."""
    table = from_report(report)
    everywhere = sum(bool(have) and cpus <= have for have in table.values())
    somewhere = sum(map(bool, table.values())) - everywhere
    return f"{everywhere} of {len(table)} regions optimised on all cores" + \
        (f", {somewhere} on some" if somewhere else "")
