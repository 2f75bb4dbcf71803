# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel did with RMPOPT, as the plugin saw it; what the kernel says of it proves nothing."""
from dataclasses import dataclass

from . import tables


@dataclass(frozen=True)
class Use:
    mark: str  # "ok", "--" or "!!"
    text: str


def executed(counters: dict) -> int:
    """RMPOPT with function 0, without an exception. The other function only reads a core's table, as the kernel does
    for its rmpopt-table."""
    return counters["rmpopt_scans"] + counters["rmpopt_cached"]


def of(report: dict | None, kernel_words: list[str], cpus: frozenset[int], awaited: bool = False) -> Use | None:
    """Nothing where the machine has no RMPOPT. cpus: those that are online. awaited: the guest has waited for the first
    pass, and none came."""
    if report is None or not report.get("rmpopt_possible"):
        return None
    times = executed(report["counters"])
    if times:
        return Use("ok", f"executed {times} times{_passes(report)}; {tables.how_many(report, cpus)}")
    if report["rmpopt_cpus"]:
        why = ("no pass within 15 s of the boot's end" if awaited else
               "this kernel has not asked for a pass, or waits with it")
        return Use("--", f"enabled on CPUs {report['rmpopt_cpus']}, but not executed: {why}")
    if kernel_words:
        return Use("!!", "not enabled on any core, whatever the kernel says of it")
    return Use("--", "not enabled on any core")


def _passes(report: dict) -> str:
    if not report["watch"]:
        return ""
    count = report["watch"]["pass_count"]
    return f" in {count} pass{'es' if count != 1 else ''}"
