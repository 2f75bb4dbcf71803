# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the report as text, in the style of perf stat."""
from . import guests
from .measured import IN_NO_PHASE, LEVELS, PLACEMENT, UNMEASURED, Measured, phase_name, sums

WIDTH = 18
NAMES = {"store": "stores", "fill": "TLB fills for stores (model)"}


def percent(rate: float | None) -> str:
    return "    -   " if rate is None else f"{100 * rate:6.2f} %"


def _row(number: int | float, name: str, remark: str = "") -> str:
    shown = f"{number:,}" if isinstance(number, int) else f"{number:,.2f}"
    return f"{shown:>{WIDTH}}  {name:<34}{'# ' + remark if remark else ''}".rstrip()


def _interval(estimate: dict | None) -> str:
    """The confidence interval of a sampled skip rate."""
    if not estimate or not estimate["blocks"] or estimate["low"] is None:
        return ""
    return f"  [{100 * estimate['low']:.2f} %, {100 * estimate['high']:.2f} %]"


def _stores(estimate: dict | None) -> str:
    """The error bound of a sampled number of stores."""
    if not estimate or not estimate["blocks"]:
        return ""
    half = max(estimate["stores_high"] - estimate["stores"], estimate["stores"] - estimate["stores_low"])
    return f"± {half:,} ({100 * half / max(estimate['stores'], 1):.2f} %)"


def _checks(cells: list[list], estimates: list[dict], accessors: list[str]) -> list[str]:
    lines = []
    for accessor in accessors:
        estimate = next((one for one in estimates if one["accessor"] == accessor), None)
        for level in LEVELS:
            found = sums(cells, level, accessor)
            if not found.total:
                continue
            interval, spread = (_interval(estimate), _stores(estimate)) if level == "store" else ("", "")
            lines += [_row(found.total, f"{accessor} {NAMES[level]}", spread),
                      _row(found.checked, "  RMP checked"),
                      _row(found.skipped, "  check skipped", f"{percent(found.rate)} of those due{interval}"),
                      _row(found.off, "  SNP off: no check due")]
    return lines


def _rmpopt(work: dict) -> list[str]:
    return [_row(work["executed"], "RMPOPT", f"{work['optimised']:,} said: optimised"),
            _row(work["scans"], "  that looked at the RMP", f"{work['cached']:,} answered from the table"),
            _row(work["scanned_2m"], "  2 MB entries looked at"),
            _row(work["cycles"], "  cycles (model)")]


def _tlb(tlb: dict) -> list[str]:
    flushes = ", ".join(f"{name} {number:,}" for name, number in tlb["flushes"].items())
    return [_row(tlb["walks"], "page walks (model)", f"{tlb['l2_hits']:,} hits in the second level"),
            _row(sum(tlb["flushes"].values()), "TLB flushes (model)", flushes)]


def _phase(measured: Measured, phase: dict) -> list[str]:
    end = phase["end"] if phase["end"] is not None else measured.seconds
    what = f"Phase '{phase_name(phase)}'" if measured.has_marks else "No phase was marked"
    lines = [f" {what}, {phase['start']:.3f} s to {end:.3f} s:", ""]
    lines += _checks(phase["cells"], phase["estimates"], measured.accessors)
    if phase["tlb"]:
        lines += _tlb(phase["tlb"])
    lines += _rmpopt(phase["rmpopt"])
    lines.append(_row(phase["rmpupdate"], "RMPUPDATE"))
    lines.append(_row(phase["guests"]["launched"], "SNP guests launched", f"{phase['guests']['ended']:,} ended"))
    return [*lines, ""]


def _head(measured: Measured) -> list[str]:
    report = measured.report
    lines = [f" RMP checks of {measured.what}", f" measured: {measured.mode}"]
    if not report["complete"]:
        lines.append(" QEMU did not end by itself: the last second may be missing")
    if measured.restarted:
        lines.append(" the guest started anew: its times follow one another")
    return [*lines, ""]


def _guests(measured: Measured) -> list[str]:
    rows = guests.rows(measured.report)
    return [" Guests with encrypted memory:", "", *(_row(*row) for row in rows), ""] if rows else []


def text(measured: Measured) -> str:
    lines = ["", *_head(measured), *_guests(measured)]
    if not measured.measure:
        return "\n".join([*lines, f" {UNMEASURED}", ""]) + "\n"
    lines += [" All:", "", *_checks(measured.cells, measured.measure["estimates"], measured.accessors)]
    if measured.measure["tlb"]:
        lines += _tlb(measured.measure["tlb"])
    lines += [_row(measured.measure["device"], "stores to devices"),
              _row(measured.measure["unresolved"], "stores of unknown destination"),
              _row(measured.measure["model"]["rmpopt_cycles"], "cycles in RMPOPT (model)",
                   measured.measure["model"]["source"]), ""]
    for phase in measured.phases:
        lines += _phase(measured, phase)
    if measured.outside:
        lines += [f" {IN_NO_PHASE.capitalize()}:", "", *_checks(measured.outside, [], measured.accessors), ""]
    if measured.measured_seconds is not None:
        lines += [_row(measured.measured_seconds, "seconds of guest time measured"), ""]
    return "\n".join([*lines, f" {PLACEMENT}", ""]) + "\n"
