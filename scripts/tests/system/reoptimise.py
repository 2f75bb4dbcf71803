# SPDX-License-Identifier: GPL-2.0-or-later
"""RMPOPT bits must be cleared where guests have pages, and come back by one pass 10 s after the last guest's end."""
import re
from dataclasses import dataclass
from functools import partial

from rmpopt_cli.base.shell import last_line
from rmpopt_cli.guest import tables
from rmpopt_cli.scenarios.catalogue import PRELUDE
from .command import PROGRAMS, Checks, rmpopt

DELAY = 10.0  # seconds, the kernel's
TOLERANCE = 1.5  # guests end a little before the script knows; the plugin counts from a little before the kernel

SCRIPT = f"""{PRELUDE}
needs_guests
show() {{ read -r uptime _ </proc/uptime; echo "== $1 $uptime"; cat $table; }}
sleep 15
show before
guest hold 2M 30 & guest hold 2M 60 & guest hold 2M 45 &
sleep 25
show during
wait
show ended
sleep 8
show waiting
sleep 6
show after
"""
SHOWN = re.compile(r"^== (\w+) ([\d.]+)\n((?:Memory .*\n)*)", re.M)


@dataclass(frozen=True)
class Shape:
    name: str
    smp: str
    memory: str


SHAPES = (
    Shape("1 CPU, 3 GiB", "1", "3G"),
    Shape("2 CPUs, 4 GiB", "2", "4G"),
    Shape("2 threads of one core, 3 GiB", "2,cores=1,threads=2", "3G"),
    Shape("4 CPUs with SMT, 16 GiB", "4,cores=2,threads=2", "16G"),
    Shape("6 CPUs with SMT, 6 GiB", "6,cores=3,threads=2", "6G"),
    Shape("8 CPUs, 3 GiB", "8", "3G"),
    Shape("8 CPUs with SMT, 64 GiB", "8,cores=4,threads=2", "64G"),
)


def _optimised(table: tables.Table, cpus: frozenset[int]) -> set[int]:
    return {gb for gb, seen in table.items() if seen == cpus}


def problem(text: str, passes: list[dict], cpus: frozenset[int]) -> str | None:
    """The errors in the tables that the guest showed and in the passes that the watch saw."""
    shown = {name: (float(uptime), tables.from_kernel(rows)) for name, uptime, rows in SHOWN.findall(text)}
    if list(shown) != ["before", "during", "ended", "waiting", "after"]:
        return f"the guest showed only {', '.join(shown) or 'nothing'}: {last_line(text)}"
    clean = _optimised(shown["before"][1], cpus)
    used = {gb for gb in clean if not shown["during"][1][gb]}
    if not used:
        return f"no region of {sorted(clean)} reads none while guests live"
    early = {gb for gb in used if shown["waiting"][1][gb]}
    if early:
        return f"regions {sorted(early)} are optimised before the delay is over"
    lost = clean - _optimised(shown["after"][1], cpus)
    if lost:
        return f"regions {sorted(lost)} are not optimised again on all CPUs"
    return _pass_problem(passes, shown["ended"][0])


def _pass_problem(passes: list[dict], ended: float) -> str | None:
    starts = [p["start"] for p in passes if p["start"] > ended]
    if len(starts) != 1:
        return f"{len(starts)} passes after the last guest's end instead of one"
    if abs(starts[0] - ended - DELAY) > TOLERANCE:
        return f"the pass came {starts[0] - ended:.1f} s after the last guest's end"
    return None


def _check(shape: Shape) -> str | None:
    done = rmpopt("boot", "--json", "--time", "virtual", "--watch-fatal", "--smp", shape.smp, "--mem", shape.memory,
                  "--file", PROGRAMS / "snp-guest", "--", SCRIPT)
    if done.failure:
        return done.failure
    result = done.json()
    cpus = frozenset(int(cpu) for cpu in result["guest"]["siblings"])
    return problem(result["output"], result["plugin"]["watch"]["passes"], cpus)


def tests() -> Checks:
    return [(f"reoptimise/{shape.name}", partial(_check, shape)) for shape in SHAPES]
