# SPDX-License-Identifier: GPL-2.0-or-later
"""The report as one HTML page that needs nothing else."""
import json
from html import escape
from pathlib import Path

from . import charts, timeline
from .measured import UNMEASURED, Measured, Sum, sums
from .timeline import Groups

HERE = Path(__file__).parent


def _percent(rate: float | None) -> str:
    return "–" if rate is None else f"{100 * rate:.2f} %"


def _number(key: str, value: object, shown: str) -> str:
    """A figure that programs can read too."""
    return f'<span data-key="{escape(key)}" data-value="{escape(json.dumps(value))}">{escape(shown)}</span>'


def _count(key: str, value: int) -> str:
    return _number(key, value, f"{value:,}")


def _rate(key: str, found: Sum) -> str:
    return _number(key, found.rate, _percent(found.rate))


def _tile(value: str, what: str) -> str:
    return f'<div class="tile"><b>{value}</b><span>{escape(what)}</span></div>'


def _tiles(measured: Measured) -> str:
    measure, tiles = measured.measure, []
    for accessor in measured.accessors:
        stores, fills = (sums(measured.cells, level, accessor) for level in ("store", "fill"))
        who = "the host" if accessor == "host" else "guests without SNP"
        tiles += [_tile(_count(f"{accessor}.stores", stores.total), f"stores of {who}"),
                  _tile(_rate(f"{accessor}.store.rate", stores), "of their RMP checks skipped, per store")]
        if measure["tlb"]:
            tiles += [_tile(_count(f"{accessor}.fills", fills.total), f"TLB fills for stores of {who} (model)"),
                      _tile(_rate(f"{accessor}.fill.rate", fills), "of their RMP checks skipped, per fill (model)")]
    work = measured.report["counters"]
    tiles += [_tile(_count("rmpopt", work["rmpopt"]), "RMPOPT executed"),
              _tile(_count("cycles", measure["model"]["rmpopt_cycles"]), "cycles in RMPOPT (model)"),
              _tile(_count("rmpupdate", work["rmpupdate"]), "RMPUPDATE executed")]
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _interval(phase: dict, accessor: str) -> str:
    """Of a sampled skip rate."""
    for one in phase["estimates"]:
        if one["accessor"] == accessor and one["blocks"] and one["low"] is not None:
            return f' <small>[{_percent(one["low"])}, {_percent(one["high"])}]</small>'
    return ""


def _phase_row(measured: Measured, number: int, phase: dict) -> str:
    end = phase["end"] if phase["end"] is not None else measured.seconds
    cells = [f'<th scope="row">{escape(phase["name"] or "start")}</th>',
             f"<td>{phase['start']:.2f}–{end:.2f} s</td>"]
    for accessor in measured.accessors:
        stores = sums(phase["cells"], "store", accessor)
        cells += [f"<td>{_count(f'phase{number}.{accessor}.stores', stores.total)}</td>",
                  f"<td>{_rate(f'phase{number}.{accessor}.rate', stores)}{_interval(phase, accessor)}</td>"]
        if measured.measure["tlb"]:
            fills = sums(phase["cells"], "fill", accessor)
            cells += [f"<td>{fills.total:,}</td>", f"<td>{_percent(fills.rate)}</td>"]
    work = phase["rmpopt"]
    cells += [f"<td>{work['executed']:,}</td>", f"<td>{work['scanned_2m']:,}</td>", f"<td>{work['cycles']:,}</td>",
              f"<td>{phase['rmpupdate']:,}</td>",
              f"<td>{phase['guests']['launched']:,} / {phase['guests']['ended']:,}</td>"]
    return f"<tr>{''.join(cells)}</tr>"


def _phases(measured: Measured) -> str:
    heads = ["phase", "guest time"]
    for accessor in measured.accessors:
        heads += [f"{accessor} stores", "skipped"]
        if measured.measure["tlb"]:
            heads += [f"{accessor} fills (model)", "skipped"]
    heads += ["RMPOPT", "2 MB entries", "cycles (model)", "RMPUPDATE", "guests began / ended"]
    rows = "".join(_phase_row(measured, number, phase) for number, phase in enumerate(measured.phases))
    return (f"<table><thead><tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr></thead>"
            f"<tbody>{rows}</tbody></table>")


def _facts(measured: Measured) -> str:
    measure, report = measured.measure, measured.report
    model = measure["model"]
    facts = [("Measured", measured.mode), ("Guest time measured", f"{measure['seconds']:.3f} s"),
             ("Machine", f"{report['persona']}, {report['cpus']} CPUs in {report['cores']} cores, "
                         f"{measured.regions} regions of 1 GB, RMP {report['rmp']['layout']}"),
             ("Per store", "each store counts once for each page that it touches, whether or not hardware would "
                           "look at the RMP for it"),
             ("RMPOPT's cycles (model)", f"{model['rmpopt_base_cycles']:g} for each execution and "
                                         f"{model['rmpopt_entry_cycles']:g} for each 2 MB entry looked at; "
                                         f"{model['source']}"),
             ("Stores to devices", f"{measure['device']:,}"),
             ("Stores of unknown destination", f"{measure['unresolved']:,}")]
    if measure["interval"]:
        facts.append(("Samples", f"intervals in brackets hold the true value with {measure['confidence']:.0%} "
                                 "confidence"))
    if tlb := measure["tlb"]:
        sizes = "; ".join(f"{one['name']} {one['entries']} entries, {one['ways']} ways, for each core"
                          for one in tlb["levels"])
        facts += [("TLB (model)", f"{tlb['preset']}: {sizes}; {tlb['source']}. Hardware looks at the RMP when a "
                                  "translation comes to be used for stores"),
                  ("TLB's work (model)", f"{tlb['walks']:,} walks, {tlb['l2_hits']:,} hits in the second level; "
                   "flushes: " + ", ".join(f"{name} {n:,}" for name, n in tlb["flushes"].items()))]
    changed = ", ".join(f"{name}={value}" for name, value in report["policies"].items())
    facts.append(("Policies", changed))
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts) + "</dl>"


def _legend() -> str:
    steps = "".join(f'<i class="key s{n}"></i>' for n in range(11))
    return (f'<p class="legend">all checked {steps} all skipped &nbsp; <i class="key none"></i> SNP off: no check due '
            "&nbsp; paler: fewer stores (logarithmic)</p>")


def _sections(measured: Measured) -> str:
    groups = Groups.of(measured.regions)
    bins = timeline.bins(measured, groups)
    table, states = charts.table(measured, groups)
    slider = ('<p class="legend"><label>at <output id="when"></output> '
              f'<input type="range" id="slider" min="0" max="{len(states) - 1}" value="{len(states) - 1}"></label> '
              '<i class="key t10"></i> optimised <i class="key t0"></i> not</p>') if states else ""
    fills = ' &nbsp; <i class="line fill"></i> TLB fills (model)' if measured.measure["tlb"] else ""
    return "".join([
        _tiles(measured),
        "<h2>Phases</h2>", _phases(measured),
        "<h2>Share of the host's RMP checks that RMPOPT saves</h2>",
        f'<p class="legend"><i class="line store"></i> stores{fills}</p>',
        charts.curves(measured, bins), "<h2>Events</h2>", charts.lanes(measured),
        "<h2>Stores by region, over time</h2>", _legend(), charts.heat_over_time(measured, bins, groups),
        "<h2>Stores by region and core</h2>", charts.heat_by_core(measured, groups),
        "<h2>RMPOPT table</h2>", slider, table,
        "<h2>What was measured, and what is a model</h2>", _facts(measured),
        f'<script type="application/json" id="states">{json.dumps(states, separators=(",", ":"))}</script>'])


def page(measured: Measured) -> str:
    report = measured.report
    what = f"{report['persona']}, {report['cpus']} CPUs, {measured.regions} GB"
    body = _sections(measured) if measured.measure else f"<p>{escape(UNMEASURED)}</p>"
    warning = "" if report["complete"] else '<p class="warning">QEMU did not end by itself: the last second may be missing.</p>'
    return "".join([
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">', f"<title>RMP checks: {escape(what)}</title>",
        f"<style>{(HERE / 'page.css').read_text()}</style></head><body>",
        f"<header><h1>RMP checks</h1><p>{escape(what)} · {escape(measured.mode)}</p></header>{warning}<main>{body}</main>",
        f"<script>{(HERE / 'page.js').read_text()}</script></body></html>\n"])
