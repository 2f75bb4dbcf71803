# SPDX-License-Identifier: GPL-2.0-or-later
"""The numbers of the report page: tiles, the table of phases, what was measured and how."""
import json
from html import escape

from .measured import IN_NO_PHASE, Measured, Sum, phase_name, sums

MOST_PHASES = 200  # in the table
TILES_IN_A_ROW = 5
WHO = {"host": "the host", "guest": "guests without SNP", "snp-guest": "SNP guests"}


def _percent(rate: float | None) -> str:
    return "–" if rate is None else f"{100 * rate:.2f} %"


def number(key: str, value: object, shown: str) -> str:
    """A number that programs can read from the page, too."""
    return f'<span data-key="{escape(key)}" data-value="{escape(json.dumps(value))}">{escape(shown)}</span>'


def _count(key: str, value: int) -> str:
    return number(key, value, f"{value:,}")


def _rate(key: str, found: Sum) -> str:
    return number(key, found.rate, _percent(found.rate))


def _interval(estimates: list[dict], accessor: str) -> str:
    """The confidence interval of a sampled skip rate."""
    for one in estimates:
        if one["accessor"] == accessor and one["blocks"] and one["low"] is not None:
            return f' <small>[{_percent(one["low"])}, {_percent(one["high"])}]</small>'
    return ""


def _tile(value: str, what: str) -> str:
    return f'<div class="tile"><b>{value}</b><span>{escape(what)}</span></div>'


def _checks_tiles(measured: Measured, accessor: str) -> list[str]:
    stores, fills = (sums(measured.cells, level, accessor) for level in ("store", "fill"))
    who = WHO[accessor]
    parts = [_tile(_count(f"{accessor}.stores", stores.total), f"stores of {who}"),
             _tile(_rate(f"{accessor}.store.rate", stores) + _interval(measured.measure["estimates"], accessor),
                   "of their RMP checks skipped, per store")]
    if measured.measure["tlb"]:
        parts += [_tile(_count(f"{accessor}.fills", fills.total), f"TLB fills for stores of {who} (model)"),
                  _tile(_rate(f"{accessor}.fill.rate", fills), "of their RMP checks skipped, per fill (model)")]
    return parts


def tiles(measured: Measured) -> str:
    """A row of tiles for each accessor and one for RMPOPT, or a single row if all fit in it."""
    work = measured.report["counters"]
    rows = [_checks_tiles(measured, accessor) for accessor in measured.accessors]
    rows.append([_tile(_count("rmpopt", work["rmpopt"]), "RMPOPT executed"),
                 _tile(_count("cycles", measured.measure["model"]["rmpopt_cycles"]), "cycles in RMPOPT (model)"),
                 _tile(_count("rmpupdate", work["rmpupdate"]), "RMPUPDATE executed")])
    if sum(map(len, rows)) <= TILES_IN_A_ROW:
        rows = [[tile for row in rows for tile in row]]
    return "".join(f'<div class="tiles">{"".join(row)}</div>' for row in rows)


def _columns(measured: Measured) -> list[tuple[str, str]]:
    """The pairs of accessor and level. The table has a number and a share for each."""
    levels = ("store", "fill") if measured.measure["tlb"] else ("store",)
    return [(accessor, level) for accessor in measured.accessors for level in levels]


def _is_narrow(measured: Measured) -> bool:
    """True if the table would be too wide for a laptop with number and share in columns of their own."""
    return len(_columns(measured)) > 2


def _checks(measured: Measured, cells: list[list], estimates: list[dict], key: str) -> list[str]:
    """The cells of one row: for each accessor and level the number, and the share of checks that were skipped."""
    out, between = [], "<br>" if _is_narrow(measured) else "</td><td>"
    for accessor, level in _columns(measured):
        found = sums(cells, level, accessor)
        interval = _interval(estimates, accessor) if level == "store" else ""
        count = _count(f"{key}.{accessor}.{level}s", found.total)
        out.append(f"<td>{count}{between}{_rate(f'{key}.{accessor}.{level}.rate', found)}{interval}</td>")
    return out


def _phase_row(measured: Measured, index: int, phase: dict) -> str:
    end = phase["end"] if phase["end"] is not None else measured.seconds
    work = phase["rmpopt"]
    cells = [f'<th scope="row">{escape(phase_name(phase))}</th>', f"<td>{phase['start']:.2f}–{end:.2f} s</td>",
             *_checks(measured, phase["cells"], phase["estimates"], f"phase{index}"),
             *(f"<td>{value:,}</td>" for value in (work["executed"], work["scanned_2m"], work["cycles"],
                                                   phase["rmpupdate"])),
             f"<td>{phase['guests']['launched']:,} / {phase['guests']['ended']:,}</td>"]
    return f"<tr>{''.join(cells)}</tr>"


def _heads(measured: Measured) -> str:
    """The two rows of the table's head: names of groups, and number and share below each."""
    names = {"store": "stores", "fill": "fills (model)"}
    groups = [f"{accessor} {names[level]}" for accessor, level in _columns(measured)]
    is_narrow = _is_narrow(measured)
    span, second = (1, "<th>number<br>skipped</th>") if is_narrow else (2, "<th>number</th><th>skipped</th>")
    rest = ("RMPOPT", "2 MB entries looked at", "cycles (model)", "RMPUPDATE", "guests began / ended")
    first = "".join(f'<th rowspan="2">{name}</th>' for name in ("phase", "guest time"))
    kind = "group narrow" if is_narrow else "group"
    first += "".join(f'<th colspan="{span}" class="{kind}">{escape(name)}</th>' for name in groups)
    first += "".join(f'<th rowspan="2">{escape(name)}</th>' for name in rest)
    return f"<thead><tr>{first}</tr><tr>{second * len(groups)}</tr></thead>"


def phases(measured: Measured) -> str:
    rows = [_phase_row(measured, index, phase) for index, phase in enumerate(measured.phases[:MOST_PHASES])]
    if measured.outside:
        cells = _checks(measured, measured.outside, [], "outside")
        rows.append(f'<tr><th scope="row"><i>{IN_NO_PHASE}</i></th><td></td>{"".join(cells)}<td colspan="5"></td></tr>')
    more = len(measured.phases) - MOST_PHASES
    note = f'<p class="legend">{more:,} more phases: report.csv has all of them</p>' if more > 0 else ""
    note += "" if measured.has_marks else '<p class="legend">no phase was marked</p>'
    return f"<table>{_heads(measured)}<tbody>{''.join(rows)}</tbody></table>{note}"


def _how(measured: Measured) -> list[tuple[str, str]]:
    measure, report = measured.measure, measured.report
    seconds = measured.measured_seconds
    facts = [("Measured", measured.mode),
             ("Guest time measured", "not known, as the guest started anew" if seconds is None else f"{seconds:.3f} s"),
             ("Machine", f"{measured.what}, RMP {report['rmp']['layout']}, enforcement {report['enforcement']}"),
             ("Per store", "each store counts once for each page that it touches, whether or not hardware would "
                           "look at the RMP for it")]
    if measure["interval"]:
        facts.append(("Samples", f"numbers are estimates; intervals in brackets hold the true value with "
                                 f"{measure['confidence']:.0%} confidence"))
    return [*facts, ("Stores to devices", f"{measure['device']:,}"),
            ("Stores of unknown destination", f"{measure['unresolved']:,}")]


def _models(measure: dict) -> list[tuple[str, str]]:
    model = measure["model"]
    facts = [("RMPOPT's cycles (model)", f"{model['rmpopt_base_cycles']:g} for each execution and "
                                         f"{model['rmpopt_entry_cycles']:g} for each 2 MB entry looked at; "
                                         f"{model['source']}")]
    if tlb := measure["tlb"]:
        sizes = "; ".join(f"{one['name']} {one['entries']} entries, {one['ways']} ways, for each core"
                          for one in tlb["levels"])
        facts += [("TLB (model)", f"{tlb['preset']}: {sizes}; {tlb['source']}. Hardware looks at the RMP when a "
                                  "translation comes to be used for stores"),
                  ("TLB's work (model)", f"{tlb['walks']:,} walks, {tlb['l2_hits']:,} hits in the second level; "
                   "flushes: " + ", ".join(f"{name} {n:,}" for name, n in tlb["flushes"].items()))]
    return facts


def facts(measured: Measured) -> str:
    policies = ", ".join(f"{name}={value}" for name, value in measured.report["policies"].items())
    found = [*_how(measured), *_models(measured.measure), ("Policies", policies)]
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in found) + "</dl>"
