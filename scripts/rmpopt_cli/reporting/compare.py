# SPDX-License-Identifier: GPL-2.0-or-later
"""Two measured guests side by side, phase by phase."""
from dataclasses import dataclass

from ..errors import BadInput
from .measured import UNMEASURED, Measured, sums

WHOLE = "(all)"


@dataclass(frozen=True)
class Side:
    """What one guest did in a phase."""
    stores: int
    store_rate: float | None
    fills: int
    fill_rate: float | None
    rmpopt: int
    scanned_2m: int
    cycles: int
    rmpupdate: int


def _side(cells: list[list], work: dict, rmpupdate: int) -> Side:
    stores, fills = (sums(cells, level, "host") for level in ("store", "fill"))
    return Side(stores.total, stores.rate, fills.total, fills.rate, work["executed"], work["scanned_2m"],
                work["cycles"], rmpupdate)


def _sides(measured: Measured) -> dict[str, Side]:
    """By phase, those of one name together; and the whole boot, with what was counted in no phase."""
    if not measured.measure:
        raise BadInput(f"compare: {measured.directory}: {UNMEASURED}")
    grouped: dict[str, list[dict]] = {}
    for phase in measured.phases:
        grouped.setdefault(phase["name"] or "start", []).append(phase)
    sides = {name: _side([cell for phase in phases for cell in phase["cells"]],
                        {key: sum(phase["rmpopt"][key] for phase in phases)
                         for key in ("executed", "scanned_2m", "cycles")},
                        sum(phase["rmpupdate"] for phase in phases)) for name, phases in grouped.items()}
    counters = measured.report["counters"]
    work = {"executed": counters["rmpopt"], "scanned_2m": counters["rmpopt_scanned_2m"],
            "cycles": measured.measure["model"]["rmpopt_cycles"]}
    return {**sides, WHOLE: _side(measured.cells, work, counters["rmpupdate"])}


def _difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else b - a


def compare(first: Measured, second: Measured) -> dict:
    a, b = _sides(first), _sides(second)
    names = [name for name in [*a, *b] if name != WHOLE]
    rows = []
    for name in [*dict.fromkeys(names), WHOLE]:
        row: dict = {"phase": name, "a": None, "b": None, "store_rate_difference": None, "fill_rate_difference": None}
        for key, sides in (("a", a), ("b", b)):
            if name in sides:
                row[key] = sides[name].__dict__
        if name in a and name in b:
            row["store_rate_difference"] = _difference(a[name].store_rate, b[name].store_rate)
            row["fill_rate_difference"] = _difference(a[name].fill_rate, b[name].fill_rate)
        rows.append(row)
    return {"a": _what(first), "b": _what(second), "phases": rows}


def _what(measured: Measured) -> dict:
    return {"report": str(measured.directory), "persona": measured.report["persona"], "cpus": measured.report["cpus"],
            "measured": measured.mode}


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.2f} %"


def _points(difference: float | None) -> str:
    return "-" if difference is None else f"{100 * difference:+.2f}"


COLUMNS = (("stores", lambda side: f"{side['stores']:,}"), ("skipped", lambda side: _percent(side["store_rate"])),
           ("fills*", lambda side: f"{side['fills']:,}"), ("skipped", lambda side: _percent(side["fill_rate"])),
           ("RMPOPT", lambda side: f"{side['rmpopt']:,}"), ("2 MB entries", lambda side: f"{side['scanned_2m']:,}"),
           ("cycles*", lambda side: f"{side['cycles']:,}"), ("RMPUPDATE", lambda side: f"{side['rmpupdate']:,}"))


def table(compared: dict) -> str:
    """A and B in two lines, with the differences of the skip rates in percentage points below."""
    lines = [f"{key.upper()}: {compared[key]['report']}: {compared[key]['persona']}, {compared[key]['cpus']} CPUs, "
             f"{compared[key]['measured']}" for key in ("a", "b")]
    lines += ["", f"{'phase':16}   " + "".join(f"{name:>15}" for name, _ in COLUMNS)]
    for row in compared["phases"]:
        for key in ("a", "b"):
            side = row[key]
            cells = [cell(side) if side else "-" for _, cell in COLUMNS]
            name = row["phase"] if key == "a" else ""
            lines.append(f"{name[:16]:16} {key.upper()} " + "".join(f"{cell:>15}" for cell in cells))
        differences = ["", _points(row["store_rate_difference"]), "", _points(row["fill_rate_difference"])]
        lines.append(f"{'':16} B-A" + "".join(f"{cell:>15}" for cell in differences).removeprefix(" "))
    lines += ["", "stores and fills of the host; B-A in percentage points; *: model"]
    return "\n".join(line.rstrip() for line in lines)
