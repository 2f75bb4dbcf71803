# SPDX-License-Identifier: GPL-2.0-or-later
"""Draws heat maps with a row for each 1 GB region, or for a group of neighbouring regions."""
import math

from . import svg, timeline
from .charts import LEFT, PLOT, RIGHT, WIDTH, time_axis
from .measured import Measured, Sum
from .timeline import Bins, Groups, Table

WIDEST = 80.0  # width of a core's column, at most
DIGITS = "0123456789a"  # by the tenths of a cell that are optimised


def _cell(found: Sum, most: int, x: float, y: float, width: float, what: str) -> str:
    """A cell. Its colour shows the share of skipped checks, its opacity the number of stores (logarithmic)."""
    strength = 0.25 + 0.75 * math.log1p(found.total) / math.log1p(most)
    rate = "SNP off" if found.rate is None else f"{100 * found.rate:.2f} % of the checks skipped"
    return svg.element("rect", svg.title(f"{what}: {found.total:,} stores, {rate}"), x=x, y=y, width=width,
                       height=svg.ROW - 1.0, class_=f"cell {svg.shade(found.rate)}", opacity=strength)


def _row_names(groups: Groups) -> list[str]:
    every = -(-groups.rows // 32)
    return [svg.text(LEFT - 6, row * svg.ROW + 11.0, f"GiB {groups.name(row)}", class_="tick", text_anchor="end")
            for row in range(0, groups.rows, every)]


def over_time(measured: Measured, bins: Bins, groups: Groups) -> str:
    most = max((found.total for found in bins.by.values()), default=0)
    width = PLOT * bins.width / max(measured.seconds, 1e-9)
    bottom = float(groups.rows * svg.ROW)
    parts = time_axis(measured, bottom, 0) + _row_names(groups)
    for (row, at), found in sorted(bins.by.items()):
        if found.total:
            what = f"GiB {groups.name(row)}, {at * bins.width:.2f} s to {(at + 1) * bins.width:.2f} s"
            parts.append(_cell(found, most, LEFT + at * width, float(row * svg.ROW), width, what))
    return svg.drawing(WIDTH, bottom + 20, parts, "stores by region over guest time", id="heat-time")


def _by_core(groups: Groups, cores: Groups, cells: list[str], label: str, name: str) -> str:
    """A map of regions by cores, with the names of rows and columns. It is no wider than its columns need."""
    width, bottom = _column(cores), float(groups.rows * svg.ROW)
    longest = len(f"core {cores.name(cores.rows - 1)}") * 6.5 + 6
    parts = _row_names(groups)
    for core in range(0, cores.rows, math.ceil(longest / width)):
        parts.append(svg.text(LEFT + (core + 0.5) * width, bottom + 14, f"core {cores.name(core)}", class_="tick",
                              text_anchor="middle"))
    whole = LEFT + cores.rows * width + RIGHT
    return svg.drawing(whole, bottom + 20, parts + cells, label, id=name, style=f"width: {whole:.0f}px")


def _column(cores: Groups) -> float:
    return min(PLOT / cores.rows, WIDEST)


def by_core(measured: Measured, groups: Groups) -> str:
    cores = Groups.of(measured.report["cores"])
    found = timeline.by_core(measured, groups, cores)
    most = max((one.total for one in found.values()), default=0)
    width = _column(cores)
    cells = [_cell(one, most, LEFT + core * width, float(row * svg.ROW), width - 1,
                   f"GiB {groups.name(row)}, core {cores.name(core)}")
             for (row, core), one in sorted(found.items()) if one.total]
    return _by_core(groups, cores, cells, "stores by region and core", "heat-core")


def _tenths(part: int, whole: int) -> int:
    """The part in tenths. 0 and 10 mean exactly none and all."""
    return 0 if part == 0 else 10 if part == whole else min(max(round(10 * part / whole), 1), 9)


def _shares(table: Table, groups: Groups, cores: Groups) -> str:
    """The optimised share of each cell, one digit per cell, row by row."""
    found: dict[tuple[int, int], int] = {}
    for core, regions in table.items():
        for gb in regions:
            where = groups.row(gb), cores.row(core)
            found[where] = found.get(where, 0) + 1
    return "".join(DIGITS[_tenths(found.get((row, core), 0), groups.size(row) * cores.size(core))]
                   for row in range(groups.rows) for core in range(cores.rows))


def table_states(measured: Measured, groups: Groups) -> list[dict]:
    """The states that the slider shows: time, number of optimised pairs of core and region, and the digits of the
    cells. The last state is the table in the report."""
    cores = Groups.of(measured.report["cores"])
    last = timeline.last_table(measured)
    states = timeline.tables(measured)
    if not states or {core: regions for core, regions in states[-1][1].items() if regions} != last:
        states.append((measured.seconds, last))
    return [{"t": seconds, "pairs": timeline.pairs(found), "share": _shares(found, groups, cores)}
            for seconds, found in states]


def table(measured: Measured, groups: Groups, share: str) -> str:
    cores = Groups.of(measured.report["cores"])
    width = _column(cores)
    cells = [svg.element("rect", svg.title(f"GiB {groups.name(row)}, core {cores.name(core)}"),
                         x=LEFT + core * width, y=float(row * svg.ROW), width=width - 1, height=svg.ROW - 1.0,
                         class_=f"cell t{DIGITS.index(share[row * cores.rows + core])}")
             for row in range(groups.rows) for core in range(cores.rows)]
    return _by_core(groups, cores, cells, "RMPOPT table by region and core", "table")
