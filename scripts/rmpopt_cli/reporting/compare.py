# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares two measured guests phase by phase, as numbers and as a table of text."""
from collections.abc import Callable
from dataclasses import dataclass

from ..base.errors import BadInput
from .measured import PLACEMENT, UNMEASURED, Measured, phase_name, sums

WHOLE = "(all)"
LONGEST_VALUE, LONGEST_PHASE = 60, 40
# Options that do not change what the guest does.
OF_NO_CONSEQUENCE = ("--report", "--json", "--verbose", "--timeout", "--same-as", "--watch-fatal")


@dataclass(frozen=True)
class Side:
    """What one guest did in a phase."""
    stores: int
    store_rate: float | None
    store_rate_low: float | None  # bounds of a sampled rate; None if several phases with one name are summed up
    store_rate_high: float | None
    fills: int
    fill_rate: float | None
    rmpopt: int
    scanned_2m: int
    cycles: int
    rmpupdate: int


def _side(cells: list[list], estimates: list[list[dict]], work: dict, rmpupdate: int) -> Side:
    stores, fills = (sums(cells, level, "host") for level in ("store", "fill"))
    host = next((one for one in estimates[0] if one["accessor"] == "host"), None) if len(estimates) == 1 else None
    low, high = (host["low"], host["high"]) if host and host["blocks"] else (None, None)
    return Side(stores.total, stores.rate, low, high, fills.total, fills.rate, work["executed"], work["scanned_2m"],
                work["cycles"], rmpupdate)


def _sides(measured: Measured) -> dict[str, Side]:
    """The numbers of each phase, summed up over phases with the same name, and those of the whole boot, which include
    what was counted outside all phases."""
    if not measured.measure:
        raise BadInput(f"compare: {measured.directory}: {UNMEASURED}")
    grouped: dict[str, list[dict]] = {}
    for phase in measured.phases:
        grouped.setdefault(phase_name(phase), []).append(phase)
    sides = {}
    for name, phases in grouped.items():
        work = {key: sum(phase["rmpopt"][key] for phase in phases) for key in ("executed", "scanned_2m", "cycles")}
        sides[name] = _side([cell for phase in phases for cell in phase["cells"]], [one["estimates"] for one in phases],
                            work, sum(phase["rmpupdate"] for phase in phases))
    counters = measured.report["counters"]
    work = {"executed": counters["rmpopt"], "scanned_2m": counters["rmpopt_scanned_2m"],
            "cycles": measured.measure["model"]["rmpopt_cycles"]}
    return {**sides, WHOLE: _side(measured.cells, [measured.measure["estimates"]], work, counters["rmpupdate"])}


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
    return {"a": _what(first), "b": _what(second), "differences": _differences(first, second),
            "only": {"a": [name for name in a if name not in b], "b": [name for name in b if name not in a]},
            "phases": rows}


def _differences(first: Measured, second: Measured) -> list[dict]:
    """What the two boots were told otherwise. None stands for what was not given."""
    if first.options is None or second.options is None:
        a, b = ({"--persona": one.report["persona"], "CPUs": one.report["cpus"], **one.report["policies"]}
                for one in (first, second))
    else:
        a, b = ({**one.options, "kernel": one.release} for one in (first, second))
    return [{"option": name, "a": a.get(name), "b": b.get(name)} for name in {**a, **b}
            if a.get(name) != b.get(name) and name not in OF_NO_CONSEQUENCE]


def _what(measured: Measured) -> dict:
    return {"report": str(measured.directory), "persona": measured.report["persona"], "cpus": measured.report["cpus"],
            "measured": measured.mode}


def _value(value: object) -> str:
    text = "not given" if value is None else "given" if value is True else \
        " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE - 3] + "..."


def differing(compared: dict) -> list[str]:
    """What the two boots do not have in common, but for numbers."""
    lines = [f"{one['option']}: A {_value(one['a'])}, B {_value(one['b'])}" for one in compared["differences"]]
    return lines + [f"phases only in {key.upper()}: {', '.join(names)}" for key, names in compared["only"].items()
                    if names]


def percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.2f} %"


def points(difference: float | None) -> str:
    return "-" if difference is None else f"{100 * difference:+.2f}"


def _store_rate(side: dict) -> str:
    """With its bounds if it was sampled."""
    bounds = "" if side["store_rate_low"] is None else \
        f" [{percent(side['store_rate_low'])}, {percent(side['store_rate_high'])}]"
    return percent(side["store_rate"]) + bounds


Column = tuple[str, Callable[[dict], str], str | None]  # heading, cell, difference

STORES: tuple[Column, ...] = (("stores", lambda side: f"{side['stores']:,}", None),
                              ("skipped", _store_rate, "store_rate_difference"))
FILLS: tuple[Column, ...] = (("fills*", lambda side: f"{side['fills']:,}", None),
                             ("skipped", lambda side: percent(side["fill_rate"]), "fill_rate_difference"))
WORK: tuple[Column, ...] = (("RMPOPT", lambda side: f"{side['rmpopt']:,}", None),
                            ("2 MB entries", lambda side: f"{side['scanned_2m']:,}", None),
                            ("cycles*", lambda side: f"{side['cycles']:,}", None),
                            ("RMPUPDATE", lambda side: f"{side['rmpupdate']:,}", None))


def columns(compared: dict) -> tuple[Column, ...]:
    """The columns of the table. TLB fills are shown only if a measurement modelled TLBs."""
    has_fills = any(side["fills"] for row in compared["phases"] for side in (row["a"], row["b"]) if side)
    return STORES + (FILLS if has_fills else ()) + WORK


NOTE = "stores and fills of the host; B-A in percentage points; *: model; [bounds] of samples"


def table(compared: dict) -> str:
    """The comparison as text. Each phase has a line for A, one for B, and one with the differences of the skip rates
    in percentage points."""
    shown = columns(compared)
    rows = [("phase", "", *(name for name, _, _ in shown))]
    for row in compared["phases"]:
        for key, name in (("a", row["phase"][:LONGEST_PHASE]), ("b", "")):
            rows.append((name, key.upper(), *(cell(row[key]) if row[key] else "-" for _, cell, _ in shown)))
        rows.append(("", "B-A", *(points(row[key]) if key else "" for _, _, key in shown)))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [f"{key.upper()}: {compared[key]['report']}: {compared[key]['persona']}, {compared[key]['cpus']} CPUs, "
             f"{compared[key]['measured']}" for key in ("a", "b")]
    lines += [*differing(compared), ""]
    lines += ["  ".join([name.ljust(widths[0]), side.ljust(widths[1]), *map(str.rjust, cells, widths[2:])]).rstrip()
              for name, side, *cells in rows]
    return "\n".join([*lines, "", NOTE, PLACEMENT])
