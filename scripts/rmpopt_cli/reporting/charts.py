# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of the report page."""
import math
from collections.abc import Callable

from . import svg, timeline
from .measured import Measured, Sum
from .timeline import Bins, Groups
from .trace import label

WIDTH, LEFT, RIGHT = 1160.0, 90.0, 10.0
PLOT = WIDTH - LEFT - RIGHT
CURVE = 160.0
LANES = (("RMPOPT", ("rmpopt",)), ("RMPUPDATE", ("rmpupdate", "psmash")), ("MSRs", ("msr",)), ("firmware", ("psp",)),
         ("guests", ("guest",)), ("findings", ("finding",)), ("resets", ("reset",)))
MOST_MARKS = 400  # of one lane; more of them share a mark


def _x(seconds: float, measured: Measured) -> float:
    return LEFT + PLOT * seconds / max(measured.seconds, 1e-9)


def _time_axis(measured: Measured, y: float, top: float) -> list[str]:
    parts = []
    for tick in svg.ticks(measured.seconds):
        x = _x(tick, measured)
        parts.append(svg.element("line", x1=x, x2=x, y1=top, y2=y, class_="grid"))
        parts.append(svg.text(x, y + 14, f"{tick:g} s", class_="tick", text_anchor="middle"))
    return parts


def _phase_bands(measured: Measured, top: float, bottom: float) -> list[str]:
    parts = []
    for number, phase in enumerate(measured.phases):
        end = phase["end"] if phase["end"] is not None else measured.seconds
        x, width = _x(phase["start"], measured), max(_x(end, measured) - _x(phase["start"], measured), 1.0)
        parts.append(svg.element("rect", svg.title(f"{phase['name'] or 'start'}: {phase['start']:.3f} s to {end:.3f} s"),
                                 x=x, y=top, width=width, height=bottom - top, class_=f"band{number % 2}"))
        name = phase["name"] or "start"
        if width > 7.0 * len(name) + 8:
            parts.append(svg.text(x + 4, top + 12, name, class_="phase"))
    return parts


def _curve(bins: Bins, level: str, y: Callable[[float], float], measured: Measured) -> str:
    """Steps of the skip rate; gaps where no check was due."""
    path, drawing = [], False
    for at in range(bins.count):
        rate = bins.whole.get((level, at), Sum()).rate
        if rate is None:
            drawing = False
            continue
        x, after = _x(at * bins.width, measured), _x((at + 1) * bins.width, measured)
        path.append(f"{'L' if drawing else 'M'}{x:.1f} {y(rate):.1f}H{after:.1f}")
        drawing = True
    return svg.element("path", d="".join(path), class_=f"curve {level}") if path else ""


def curves(measured: Measured, bins: Bins) -> str:
    top, bottom = 18.0, 18.0 + CURVE

    def y(rate: float) -> float:
        return bottom - CURVE * rate

    parts = _phase_bands(measured, 0, bottom) + _time_axis(measured, bottom, top)
    for percent in (0, 25, 50, 75, 100):
        parts.append(svg.element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(percent / 100), y2=y(percent / 100),
                                 class_="grid"))
        parts.append(svg.text(LEFT - 6, y(percent / 100) + 4, f"{percent} %", class_="tick", text_anchor="end"))
    parts += [_curve(bins, level, y, measured) for level in ("fill", "store")]
    return svg.drawing(WIDTH, bottom + 20, parts, "share of RMP checks that RMPOPT saves, over guest time", id="curves")


def _marks(measured: Measured, kinds: tuple[str, ...], y: float) -> list[str]:
    by_place: dict[int, list[str]] = {}
    for event in measured.events:
        if event["type"] in kinds:
            place = round(MOST_MARKS * event["t"] / max(measured.seconds, 1e-9))
            by_place.setdefault(place, []).append(f"{event['t']:.3f} s  {label(event)}")
    parts = []
    for place, names in by_place.items():
        shown = "\n".join(names[:12] + ([f"and {len(names) - 12} more"] if len(names) > 12 else []))
        parts.append(svg.element("rect", svg.title(shown), x=LEFT + PLOT * place / MOST_MARKS - 1, y=y + 2, width=3.0,
                                 height=svg.ROW - 4, class_="mark"))
    return parts


def lanes(measured: Measured) -> str:
    bottom = float(len(LANES) * (svg.ROW + 4))
    parts = _time_axis(measured, bottom, 0)
    for number, (name, kinds) in enumerate(LANES):
        y = number * (svg.ROW + 4.0)
        parts.append(svg.text(LEFT - 6, y + 11, name, class_="tick", text_anchor="end"))
        parts.append(svg.element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y + svg.ROW / 2, y2=y + svg.ROW / 2,
                                 class_="grid"))
        parts += _marks(measured, kinds, y)
    return svg.drawing(WIDTH, bottom + 20, parts, "events over guest time", id="lanes")


def _cell(found: Sum, most: int, x: float, y: float, width: float, what: str) -> str:
    """Colour: share skipped; strength: how many stores, on a logarithmic scale."""
    strength = 0.25 + 0.75 * math.log1p(found.total) / math.log1p(most)
    rate = "SNP off" if found.rate is None else f"{100 * found.rate:.2f} % of the checks skipped"
    return svg.element("rect", svg.title(f"{what}: {found.total:,} stores, {rate}"), x=x, y=y, width=width,
                       height=svg.ROW - 1.0, class_=f"cell {svg.shade(found.rate)}", opacity=strength)


def _row_names(groups: Groups) -> list[str]:
    every = -(-groups.rows // 32)
    return [svg.text(LEFT - 6, row * svg.ROW + 11.0, f"GiB {groups.name(row)}", class_="tick", text_anchor="end")
            for row in range(0, groups.rows, every)]


def heat_over_time(measured: Measured, bins: Bins, groups: Groups) -> str:
    most = max((found.total for found in bins.by.values()), default=0)
    width = PLOT * bins.width / max(measured.seconds, 1e-9)
    bottom = float(groups.rows * svg.ROW)
    parts = _row_names(groups) + _time_axis(measured, bottom, bottom)
    for (row, at), found in sorted(bins.by.items()):
        if found.total:
            what = f"GiB {groups.name(row)}, {at * bins.width:.2f} s to {(at + 1) * bins.width:.2f} s"
            parts.append(_cell(found, most, LEFT + at * width, float(row * svg.ROW), width + 0.3, what))
    return svg.drawing(WIDTH, bottom + 20, parts, "stores by region over guest time", id="heat-time")


def heat_by_core(measured: Measured, groups: Groups) -> str:
    cores = Groups.of(measured.report["cores"])
    cells = timeline.by_core(measured, groups, cores)
    most = max((found.total for found in cells.values()), default=0)
    width = min(PLOT / cores.rows, 60.0)
    bottom = float(groups.rows * svg.ROW)
    parts = _row_names(groups)
    for core in range(0, cores.rows, -(-cores.rows // 20)):
        parts.append(svg.text(LEFT + (core + 0.5) * width, bottom + 14, f"core {cores.name(core)}", class_="tick",
                              text_anchor="middle"))
    for (row, core), found in sorted(cells.items()):
        if found.total:
            parts.append(_cell(found, most, LEFT + core * width, float(row * svg.ROW), width - 1,
                               f"GiB {groups.name(row)}, core {cores.name(core)}"))
    return svg.drawing(WIDTH, bottom + 20, parts, "stores by region and core", id="heat-core")


def table(measured: Measured, groups: Groups) -> tuple[str, list[dict]]:
    """The last RMPOPT table, and for the slider all of them: time, and by cell the share of optimised regions."""
    cores = Groups.of(measured.report["cores"])
    states = []
    for seconds, optimised in timeline.tables(measured)[-500:]:
        share = [[0.0] * cores.rows for _ in range(groups.rows)]
        for core, regions in optimised.items():
            for gb in regions:
                share[groups.row(gb)][cores.row(core)] += 1
        states.append({"t": seconds, "share": [[round(10 * n / groups.each / cores.each) for n in row] for row in share]})
    width = min(PLOT / cores.rows, 60.0)
    bottom = float(groups.rows * svg.ROW)
    last = states[-1]["share"] if states else [[0] * cores.rows for _ in range(groups.rows)]
    parts = _row_names(groups)
    for row in range(groups.rows):
        for core in range(cores.rows):
            parts.append(svg.element("rect", svg.title(f"GiB {groups.name(row)}, core {cores.name(core)}"),
                                     x=LEFT + core * width, y=float(row * svg.ROW), width=width - 1,
                                     height=svg.ROW - 1.0, class_=f"cell t{last[row][core]}"))
    for core in range(0, cores.rows, -(-cores.rows // 20)):
        parts.append(svg.text(LEFT + (core + 0.5) * width, bottom + 14, f"core {cores.name(core)}", class_="tick",
                              text_anchor="middle"))
    return svg.drawing(WIDTH, bottom + 20, parts, "RMPOPT table by region and core", id="table"), states
