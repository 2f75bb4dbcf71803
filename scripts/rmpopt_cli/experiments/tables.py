# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables of an experiment's results, as text, JSON and a picture."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from ..reporting import svg
from .catalogue import Experiment, Setting
from .results import WORK, Boot

RATES = {"store": "share of host stores whose RMP check is skipped",
         "fill": "share of modelled TLB fills for host stores whose RMP check is skipped"}
NAMES = {"passes": "passes", "rmpopt": "RMPOPT", "scans": "that scan", "scanned_2m": "2 MB entries",
         "cycles": "cycles (model)", "rmpupdate": "RMPUPDATE", "guests": "guests"}
NOTHING = "-"

# The picture, in pixels.
WIDTH, LEFT, TOP, PLOT, BOTTOM = 760.0, 46.0, 42.0, 200.0, 26.0
SPACE = 0.24  # between groups of bars, as a share of a group
STYLE = """
text { fill: #5c6570; font: 11px system-ui, "Liberation Sans", sans-serif; } .value { font-size: 9px; }
.grid { stroke: #5c6570; stroke-opacity: .25; } .spread { stroke: #1c2024; stroke-width: 1; }
.b0 { fill: #9aa4ae; } .b1 { fill: #0072b2; } .b2 { fill: #56b4e9; } .b3 { fill: #e69f00; } .b4 { fill: #d55e00; }
@media (prefers-color-scheme: dark) { text { fill: #9aa4ae; } .spread { stroke: #e6e9ec; } }
"""


def percent(rate: float | None) -> str:
    return NOTHING if rate is None else f"{100 * rate:.1f} %"


def _count(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


@dataclass
class Table:
    """The values of all repetitions, by row and column."""
    title: str
    rows: list[str]
    columns: list[str]
    rates: bool  # false: plain numbers
    note: str = ""  # a line below the table
    values: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def of(self, row: str, column: str) -> list[float]:
        return self.values.get((row, column), [])

    def mean(self, row: str, column: str) -> float | None:
        values = self.of(row, column)
        return fmean(values) if values else None

    @property
    def boots(self) -> str:
        """The number of boots behind each mean. Boots that failed or have not run yet do not count."""
        numbers = {len(values) for values in self.values.values()} or {0}
        least, most = min(numbers), max(numbers)
        text = f"{most} boot{'s' if most > 1 else ''}" if least == most else f"{least} to {most} boots"
        return f"mean of {text} (least–most)" if most > 1 else text

    def as_json(self) -> dict:
        cells = [{"row": row, "column": column, "mean": fmean(values), "low": min(values), "high": max(values),
                  "values": values} for (row, column), values in self.values.items() if values]
        return {"title": self.title, "rates": self.rates, "rows": self.rows, "columns": self.columns, "cells": cells,
                "note": self.note}


def _rates(level: str, boots: Sequence[Boot], phases: Sequence[str], settings: Sequence[Setting],
           name: str) -> Table:
    table = Table(f"{name}: {RATES[level]}", list(phases), [s.name for s in settings], True)
    for boot in boots:
        for phase in boot.phases:
            rate = boot.rate(phase, level)
            if rate is not None:
                table.values.setdefault((phase, boot.setting), []).append(rate)
    return table


def _work(boots: Sequence[Boot], phases: Sequence[str], settings: Sequence[Setting], name: str) -> Table:
    """The work of RMPOPT itself, with a row for each phase and setting."""
    def row(phase: str, setting: str) -> str:
        return phase if len(settings) == 1 else f"{phase}, {setting}"

    table = Table(f"{name}: RMPOPT's own work", [row(p, s.name) for p in phases for s in settings],
                  [NAMES[key] for key in WORK], False)
    for boot in boots:
        for phase in boot.phases:
            for key, value in boot.work(phase).items():
                table.values.setdefault((row(phase, boot.setting), NAMES[key]), []).append(float(value))
    idle = [name for name in table.rows if table.mean(name, NAMES["passes"]) == 0]
    table.note = f"The kernel made no pass in: {'; '.join(idle)}." if idle else ""
    return table


def of(experiment: Experiment, boots: Sequence[Boot], phases: Sequence[str],
       settings: Sequence[Setting]) -> list[Table]:
    """The tables of an experiment. Boots that failed do not count."""
    good = [boot for boot in boots if not boot.problem]
    made = []
    if experiment.rates:
        made = [_rates(level, good, phases, settings, experiment.name) for level in RATES]
        made = [table for table in made if table.values or table is made[0]]
    return made + ([_work(good, phases, settings, experiment.name)] if experiment.work else [])


def _cell(table: Table, row: str, column: str) -> str:
    """The mean, followed by the range if the repetitions differ."""
    show: Callable[[float | None], str] = percent if table.rates else _count
    values = table.of(row, column)
    text, low, high = show(table.mean(row, column)), *(show(f(values, default=None)) for f in (min, max))
    return text if low == high else f"{text} ({low.removesuffix(' %')}–{high.removesuffix(' %')})"


def text(table: Table) -> str:
    """The table as aligned Markdown."""
    rows = [["", *table.columns], *([row, *(_cell(table, row, c) for c in table.columns)] for row in table.rows)]
    widths = [max(3, *(len(line[i]) for line in rows)) for i in range(len(rows[0]))]
    lines = [f"| {line[0]:<{widths[0]}} | " +
             " | ".join(f"{cell:>{width}}" for cell, width in zip(line[1:], widths[1:])) + " |" for line in rows]
    rule = f"|{'-' * (widths[0] + 2)}|" + "".join(f"{'-' * (width + 1)}:|" for width in widths[1:])
    lines.insert(1, rule)
    return "\n".join([f"{table.title}, {table.boots}", "", *lines, "", *([table.note, ""] if table.note else [])])


def _y(rate: float) -> float:
    return TOP + PLOT * (1 - rate)


def _axis() -> list[str]:
    parts = []
    for part in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts += [svg.element("line", x1=LEFT, x2=WIDTH, y1=_y(part), y2=_y(part), class_="grid"),
                  svg.text(LEFT - 6, _y(part) + 4, f"{100 * part:.0f} %", text_anchor="end")]
    return parts


def _legend(columns: Sequence[str]) -> list[str]:
    parts, x = [], LEFT
    for number, column in enumerate(columns):
        parts += [svg.element("rect", x=x, y=20.0, width=10.0, height=10.0, class_=f"b{number % 5}"),
                  svg.text(x + 14, 29, column)]
        x += 34 + 6.5 * len(column)
    return parts


def _bar(values: list[float], x: float, width: float, shade: str, label: str) -> list[str]:
    """One bar. Its height is the mean, a thin line shows the range, and the number above it is the mean in percent."""
    mean, low, high = fmean(values), min(values), max(values)
    middle = x + width / 2
    parts = [svg.element("rect", svg.title(f"{label}: {percent(mean)}"), x=x, y=_y(mean), width=width,
                         height=max(PLOT * mean, 1.0), class_=shade),
             svg.text(middle, _y(high) - 4, f"{100 * mean:.0f}", class_="value", text_anchor="middle")]
    if high > low:
        parts.append(svg.element("line", x1=middle, x2=middle, y1=_y(high), y2=_y(low), class_="spread"))
    return parts


def picture(table: Table) -> str:
    """The table as a bar chart, with a group of bars for each row."""
    group = (WIDTH - LEFT) / max(len(table.rows), 1)
    width = group * (1 - SPACE) / max(len(table.columns), 1)
    parts = [svg.element("style", STYLE), svg.text(LEFT, 12, table.title), *_legend(table.columns), *_axis()]
    for place, row in enumerate(table.rows):
        start = LEFT + group * (place + SPACE / 2)
        parts.append(svg.text(start + group * (1 - SPACE) / 2, TOP + PLOT + 18, row, text_anchor="middle"))
        for number, column in enumerate(table.columns):
            if table.of(row, column):
                parts += _bar(table.of(row, column), start + number * width, width - 2, f"b{number % 5}",
                              f"{row}, {column}")
    drawn = svg.drawing(WIDTH, TOP + PLOT + BOTTOM, parts, table.title, xmlns="http://www.w3.org/2000/svg")
    return f"<!-- SPDX-License-Identifier: GPL-2.0-or-later -->\n{drawn}\n"
