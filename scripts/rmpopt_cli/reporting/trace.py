# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the report as a trace for Perfetto and Chrome: phases, skip rates and events in guest time."""
import json
from collections.abc import Iterator

from .measured import LEVELS, Measured, Sum, phase_name, sums
from .timeline import Groups

PROCESS = 1
LANES = ("phases", "rmpopt", "rmpupdate", "psmash", "msr", "psp", "guest", "finding", "reset", "measure")
MICROSECONDS = 1e6


def label(event: dict) -> str:
    """An event, described in a few words."""
    kind = event["type"]
    if kind == "rmpopt":
        return f"core {event['core']}: {event['executed']} RMPOPT, {event['optimised']} optimised"
    if kind in ("rmpupdate", "psmash"):
        return f"GiB {event['gb']}: {event['count']} {kind.upper()}"
    if kind == "msr":
        return f"CPU {event['cpu']}: {event['msr']} = {event['value']}"
    if kind == "psp":
        return f"{event['command']} x {event['count']}" if event["count"] > 1 else event["command"]
    if kind == "guest":
        return f"guest {event['action']} (ASID {event['asid']})"
    if kind == "finding":
        return f"{event['id']}: {event['what']}"
    if kind == "table":
        return f"core {event['core']}: optimised {event['optimised'] or 'none'}"
    return event.get("mode", kind)


def _names() -> Iterator[dict]:
    yield {"ph": "M", "pid": PROCESS, "name": "process_name", "args": {"name": "RMP (guest time)"}}
    for number, lane in enumerate(LANES):
        yield {"ph": "M", "pid": PROCESS, "tid": number, "name": "thread_name", "args": {"name": lane}}


def _phases(measured: Measured) -> Iterator[dict]:
    for phase in measured.phases:
        end = phase["end"] if phase["end"] is not None else measured.seconds
        rates = {f"{level}_skip_rate": sums(phase["cells"], level, "host").rate for level in LEVELS}
        yield {"ph": "X", "pid": PROCESS, "tid": LANES.index("phases"), "name": phase_name(phase),
               "ts": phase["start"] * MICROSECONDS, "dur": (end - phase["start"]) * MICROSECONDS, "args": rates}


def _places(event: dict, when: float, regions: Groups, cores: Groups) -> Iterator[dict]:
    """Counters of stores to each region, and of the skip rates of regions and cores. If there are many of them,
    neighbours share a counter."""
    found: dict[str, Sum] = {}
    for core, gb, _who, level, *numbers in event["cells"]:
        if level == "store":
            for name in (f"GiB {regions.name(regions.row(gb))}", f"core {cores.name(cores.row(core))}"):
                found[name] = found.get(name, Sum()) + Sum(*numbers)
    for name, total in found.items():
        if name.startswith("GiB"):
            yield {"ph": "C", "pid": PROCESS, "ts": when, "name": f"stores to {name}", "args": {"stores": total.total}}
        if total.rate is not None:
            yield {"ph": "C", "pid": PROCESS, "ts": when, "name": f"skipped % of stores, {name}",
                   "args": {"percent": 100 * total.rate}}


def _counters(measured: Measured) -> Iterator[dict]:
    regions, cores = Groups.of(measured.regions), Groups.of(measured.report["cores"])
    for event in measured.of("counts"):
        when = event["t"] * MICROSECONDS
        for level in LEVELS:
            found = sums(event["cells"], level, "host")
            if found.rate is not None:
                yield {"ph": "C", "pid": PROCESS, "ts": when, "name": f"skipped % of host {level}s",
                       "args": {"percent": 100 * found.rate}}
        yield from _places(event, when, regions, cores)


def _instants(measured: Measured) -> Iterator[dict]:
    for event in measured.events:
        kind = "rmpopt" if event["type"] == "table" else event["type"]
        if kind in LANES:
            yield {"ph": "i", "s": "t", "pid": PROCESS, "tid": LANES.index(kind), "ts": event["t"] * MICROSECONDS,
                   "name": label(event), "args": {name: value for name, value in event.items()
                                                  if name not in ("t", "type")}}


def trace(measured: Measured) -> str:
    events = [*_names(), *_phases(measured), *_counters(measured), *_instants(measured)]
    return json.dumps({"displayTimeUnit": "ms", "traceEvents": events}, separators=(",", ":")) + "\n"
