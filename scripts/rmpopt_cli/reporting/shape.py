# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that a report can be shown. The schemas are stricter; this has only the rules that our own code relies on."""
import re
from collections.abc import Mapping

Fields = Mapping[str, type | tuple[type, ...]]

ACCESSORS = ("host", "guest", "snp-guest")  # guest: one that is not an SNP guest
NUMBER = (int, float)
LIST = re.compile(r"([0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*)?")
MACHINE: Fields = {"cpus": int, "cores": int, "cpu_core": list, "rmp": dict, "policies": dict, "counters": dict,
                   "regions": list}
# The values for a report without them, which QEMU leaves if it ends before the guest starts.
NO_MACHINE = {"cpus": 0, "cores": 0, "cpu_core": [], "rmp": {"layout": "none"}, "policies": {}, "counters": {},
              "regions": []}
REPORT: Fields = {"persona": str, "complete": bool, **MACHINE}
REGION: Fields = {"gb": int, "optimised_cpus": str}
COUNTERS: Fields = {"rmpopt": int, "rmpopt_scanned_2m": int, "rmpupdate": int}
MEASURE: Fields = {"mode": str, "interval": int, "seconds": NUMBER, "confidence": NUMBER, "tlb": (dict, type(None)),
                   "model": dict, "cells": list, "device": int, "unresolved": int, "estimates": list, "phases": list}
MODEL: Fields = {"rmpopt_cycles": int, "rmpopt_base_cycles": NUMBER, "rmpopt_entry_cycles": NUMBER, "source": str}
WORK: Fields = {"executed": int, "optimised": int, "scans": int, "cached": int, "scanned_2m": int, "cycles": int}
TLB_WORK: Fields = {"walks": int, "l2_hits": int, "flushes": dict}
TLB: Fields = {"preset": str, "levels": list, "source": str, **TLB_WORK}
TLB_LEVEL: Fields = {"name": str, "entries": int, "ways": int}
PHASE: Fields = {"name": str, "start": NUMBER, "end": (*NUMBER, type(None)), "cells": list, "estimates": list,
                 "tlb": (dict, type(None)), "rmpopt": dict, "rmpupdate": int, "guests": dict}
SHARE = (*NUMBER, type(None))
ESTIMATE: Fields = {"accessor": str, "stores": int, "stores_low": int, "stores_high": int, "skip_rate": SHARE,
                    "low": SHARE, "high": SHARE, "blocks": int}
GUESTS: Fields = {"launched": int, "ended": int}
CAUSES = ("exits", "vc", "requests")
ENCRYPTED_GUESTS: Fields = {"entries": int, **dict.fromkeys(CAUSES, dict), "tlb_fills": int, "page_faults": int,
                            "rmp_faults": int, "pvalidate": int, "pvalidate_unchanged": int, "rmpadjust": int}
CHANGES: Fields = {"gb": int, "count": int, "failed": int}
EVENT: Fields = {"t": NUMBER, "type": str}
EVENTS: Mapping[str, Fields] = {
    "measure": {"mode": str, "interval": int, "tlb": (str, bool)}, "mark": {"name": str}, "counts": {"cells": list},
    "table": {"core": int, "optimised": str}, "rmpopt": {"core": int, **WORK}, "rmpupdate": CHANGES, "psmash": CHANGES,
    "msr": {"cpu": int, "msr": str, "value": str}, "psp": {"command": str, "count": int},
    "guest": {"action": str, "asid": int}, "finding": {"id": str, "what": str}}


class Misshapen(ValueError):
    """Its text says what is wrong with the report."""


def _fields(found: object, wanted: Fields, where: str) -> None:
    if not isinstance(found, dict):
        raise Misshapen(f"{where} is no object")
    for name, kind in wanted.items():
        if name not in found:
            raise Misshapen(f"{where} has no {name!r}")
        if not isinstance(found[name], kind) or (kind is int and isinstance(found[name], bool)):
            raise Misshapen(f"{name!r} of {where} is of another type")


def _list(text: str, below: int, where: str) -> None:
    """Checks a list of numbers such as 0-3,5."""
    if not LIST.fullmatch(text) or any(int(number) >= below for number in re.findall("[0-9]+", text)):
        raise Misshapen(f"{where}: no list of numbers below {below}: {text[:40]!r}")


def _cells(cells: list, cores: int, regions: int, where: str) -> None:
    for cell in cells:
        if not isinstance(cell, list) or len(cell) != 7 or cell[2] not in ACCESSORS \
                or cell[3] not in ("store", "fill"):
            raise Misshapen(f"{where}: no cell: {str(cell)[:60]}")
        core, gb, _, _, *numbers = cell
        if not all(type(number) is int and number >= 0 for number in (core, gb, *numbers)):
            raise Misshapen(f"{where}: no counts: {str(cell)[:60]}")
        if core >= cores or gb >= regions:
            raise Misshapen(f"{where}: a machine of {cores} cores and {regions} regions has no core {core}, GiB {gb}")


def _measure(measure: object, cores: int, regions: int) -> None:
    _fields(measure, MEASURE, "measure")
    assert isinstance(measure, dict)
    _fields(measure["model"], MODEL, "model")
    _cells(measure["cells"], cores, regions, "measure")
    for one in measure["estimates"]:
        _fields(one, ESTIMATE, "an estimate")
    if measure["tlb"] is not None:
        _fields(measure["tlb"], TLB, "tlb")
        for level in measure["tlb"]["levels"]:
            _fields(level, TLB_LEVEL, "a TLB's level")
    for number, phase in enumerate(measure["phases"]):
        _phase(phase, cores, regions, f"phase {number}")


def _phase(phase: object, cores: int, regions: int, where: str) -> None:
    _fields(phase, PHASE, where)
    assert isinstance(phase, dict)
    _cells(phase["cells"], cores, regions, where)
    _fields(phase["rmpopt"], WORK, f"rmpopt of {where}")
    _fields(phase["guests"], GUESTS, f"guests of {where}")
    for one in phase["estimates"]:
        _fields(one, ESTIMATE, f"an estimate of {where}")
    if phase["tlb"] is not None:
        _fields(phase["tlb"], TLB_WORK, f"tlb of {where}")


def checked_report(report: dict) -> dict:
    """Returns the report, completed with empty values if the machine never started. Raises Misshapen."""
    if report["measure"] is None and not MACHINE.keys() & report.keys():
        report = {**report, **NO_MACHINE}
    _fields(report, REPORT, "the report")
    for region in report["regions"]:
        _fields(region, REGION, "a region")
        _list(region["optimised_cpus"], report["cpus"], "a region's CPUs")
    cores = report["cpu_core"]
    if len(cores) != report["cpus"] or not all(type(core) is int and 0 <= core < report["cores"] for core in cores):
        raise Misshapen("'cpu_core' does not give each CPU its core")
    if (counts := report.get("encrypted_guests")) is not None:
        _fields(counts, ENCRYPTED_GUESTS, "encrypted guests")
        for cause in CAUSES:
            _fields(counts[cause], dict.fromkeys(counts[cause], int), f"{cause} of encrypted guests")
    if report["measure"] is not None:
        _fields(report["counters"], COUNTERS, "counters")
        _measure(report["measure"], report["cores"], len(report["regions"]))
    return report


def check_event(event: object, cores: int, regions: int) -> None:
    """Checks an event. One of an unknown type may have any fields. Raises Misshapen."""
    _fields(event, EVENT, "the event")
    assert isinstance(event, dict)
    _fields(event, EVENTS.get(event["type"], {}), f"a {event['type']!r} event")
    if event["type"] == "counts":
        _cells(event["cells"], cores, regions, "counts")
    elif event["type"] in ("table", "rmpopt") and not 0 <= event["core"] < cores:
        raise Misshapen(f"a machine of {cores} cores has no core {event['core']}")
    if event["type"] == "table":
        _list(event["optimised"], regions, "a core's regions")
