# SPDX-License-Identifier: GPL-2.0-or-later
"""Shows the report as one self-contained HTML page."""
import json
from html import escape
from pathlib import Path

from . import charts, figures, grids, guests, timeline
from .measured import UNMEASURED, Measured
from .timeline import Groups

HERE = Path(__file__).parent
KILLED = "QEMU did not end by itself: the last second may be missing."
RESTARTED = "The guest started anew: its times follow one another."
CURVES = {("host", "store"): "stores of the host", ("host", "fill"): "its TLB fills (model)",
          ("guest", "store"): "stores of guests without SNP", ("guest", "fill"): "their TLB fills (model)",
          ("snp-guest", "store"): "stores of SNP guests", ("snp-guest", "fill"): "their TLB fills (model)"}


def document(heading: str, what: str, body: str, script: str = "") -> str:
    """A whole page. `heading` and `what` are plain text, `body` is HTML."""
    return "".join([
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">', f"<title>{escape(heading)}: {escape(what)}</title>",
        f"<style>{(HERE / 'page.css').read_text()}</style></head><body>",
        f"<header><h1>{escape(heading)}</h1><p>{escape(what)}</p></header>{body}",
        f"<script>{script}</script>" if script else "", "</body></html>\n"])


def _data(name: str, value: object) -> str:
    text = json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _curve_legend(measured: Measured) -> str:
    shown = [(who, level) for who, level in CURVES
             if who in measured.accessors and (level == "store" or measured.measure["tlb"])]
    lines = " &nbsp; ".join(f'<i class="line {who} {level}"></i> {CURVES[who, level]}' for who, level in shown)
    return f'<p class="legend">{lines}</p>'


def _cell_legend() -> str:
    steps = "".join(f'<i class="key s{n}"></i>' for n in range(11))
    return (f'<p class="legend">all checked {steps} all skipped &nbsp; <i class="key none"></i> SNP off: no check due '
            "&nbsp; paler: fewer stores (logarithmic)</p>")


def _grouping(groups: Groups, what: str) -> str:
    return f" Each row is {groups.each} {what}." if groups.each > 1 else ""


def _table(measured: Measured, groups: Groups) -> str:
    """The last RMPOPT table, with a slider if there were earlier ones."""
    states = grids.table_states(measured, groups)
    whole = measured.regions * measured.report["cores"]
    slider = (f'<label><output id="when"></output><input type="range" id="slider" min="0" max="{len(states) - 1}" '
              f'value="{len(states) - 1}" aria-label="time"></label>') if len(states) > 1 else ""
    pairs = figures.number("table.pairs", states[-1]["pairs"], f"{states[-1]['pairs']:,}")
    return (f'<p class="legend"><i class="key t10"></i> optimised <i class="key t0"></i> not &nbsp; '
            f'{pairs} of {whole:,} pairs of region and core<br>{slider}</p>'
            f"{grids.table(measured, groups, states[-1]['share'])}{_data('states', states)}")


def _regions(measured: Measured) -> str:
    groups = Groups.of(measured.regions)
    cores = Groups.of(measured.report["cores"])
    bins = timeline.bins(measured, groups)
    note = _grouping(groups, "regions") + _grouping(cores, "cores").replace("row", "column")
    note = f'<p class="legend">{note.strip()}</p>' if note else ""
    return "".join([
        "<section><h2>Share of RMP checks that RMPOPT saves</h2>", _curve_legend(measured),
        charts.curves(measured, bins), "</section><section><h2>Events</h2>",
        '<p class="legend">higher: more of them (logarithmic)</p>', charts.lanes(measured),
        "</section><section><h2>Stores by region, over time</h2>", _cell_legend(), note,
        grids.over_time(measured, bins, groups), '</section><div class="pair">',
        '<section><h2>Stores by region and core</h2><p class="legend">colours as above</p>',
        grids.by_core(measured, groups),
        "</section><section><h2>RMPOPT table</h2>", _table(measured, groups), "</section></div>"])


def _guests(measured: Measured) -> str:
    rows = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{figures.number(f"guests.{name}", n, f"{n:,}")}</td>'
                   f'<td class="remark">{escape(remark)}</td></tr>' for n, name, remark in guests.rows(measured.report))
    return f"<section><h2>Guests with encrypted memory</h2><table>{rows}</table></section>" if rows else ""


def page(measured: Measured) -> str:
    report = measured.report
    warnings = [KILLED] * (not report["complete"]) + [RESTARTED] * measured.restarted
    body = f"<p>{escape(UNMEASURED)}</p>"
    if measured.measure:
        body = "".join([figures.tiles(measured), "<section><h2>Phases</h2>", figures.phases(measured), "</section>",
                        _regions(measured), "<section><h2>What was measured, and what is a model</h2>",
                        figures.facts(measured), "</section>"])
    notes = "".join(f'<p class="warning">{text}</p>' for text in warnings)
    body += _guests(measured)
    return document("RMP checks", f"{measured.what} · {measured.mode}", f"{notes}<main>{body}</main>",
                    (HERE / "page.js").read_text())
