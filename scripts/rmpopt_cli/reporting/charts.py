# SPDX-License-Identifier: GPL-2.0-or-later
"""Draws charts over guest time: skip rates, phases, events."""
import math
from collections.abc import Callable

from . import svg
from .measured import Measured, Sum, phase_name
from .timeline import Bins
from .trace import label

WIDTH, LEFT, RIGHT = 1160.0, 90.0, 10.0
PLOT = WIDTH - LEFT - RIGHT
CURVE = 160.0
LANES = (("RMPOPT", ("rmpopt",)), ("RMPUPDATE", ("rmpupdate", "psmash")), ("MSRs", ("msr",)), ("firmware", ("psp",)),
         ("guests", ("guest",)), ("findings", ("finding",)), ("resets", ("reset",)))
LANE = 24  # height of a lane of events
MOST_MARKS = 350  # in one lane; if there are more events, neighbours share a mark


def place(seconds: float, measured: Measured) -> float:
    return LEFT + PLOT * seconds / max(measured.seconds, 1e-9)


def time_axis(measured: Measured, y: float, top: float) -> list[str]:
    parts = []
    for tick in svg.ticks(measured.seconds):
        x = place(tick, measured)
        parts.append(svg.element("line", x1=x, x2=x, y1=top, y2=y, class_="grid"))
        is_last = x > WIDTH - RIGHT - 12  # centred, its text would be cut off
        parts.append(svg.text(x + (RIGHT if is_last else 0), y + 14, f"{tick:g} s", class_="tick",
                              text_anchor="end" if is_last else "middle"))
    return parts


def _phase_bands(measured: Measured, top: float, bottom: float) -> list[str]:
    parts = []
    for number, phase in enumerate(measured.phases):
        end = phase["end"] if phase["end"] is not None else measured.seconds
        x, width = place(phase["start"], measured), max(place(end, measured) - place(phase["start"], measured), 1.0)
        name = phase_name(phase)
        parts.append(svg.element("rect", svg.title(f"{name}: {phase['start']:.3f} s to {end:.3f} s"), x=x, y=top,
                                 width=width, height=bottom - top, class_=f"band{number % 2}"))
        if width > 7.0 * len(name) + 8:
            parts.append(svg.text(x + 4, top + 12, name, class_="phase"))
    return parts


def _curve(measured: Measured, bins: Bins, who: str, level: str, y: Callable[[float], float]) -> str:
    """The skip rate as steps, with gaps where no check was due."""
    path, drawing = [], False
    for at in range(bins.count):
        rate = bins.whole.get((who, level, at), Sum()).rate
        if rate is None:
            drawing = False
            continue
        x, after = place(at * bins.width, measured), place((at + 1) * bins.width, measured)
        path.append(f"{'L' if drawing else 'M'}{x:.1f} {y(rate):.1f}H{after:.1f}")
        drawing = True
    return svg.element("path", d="".join(path), class_=f"curve {who} {level}") if path else ""


def curves(measured: Measured, bins: Bins) -> str:
    top, bottom = 18.0, 18.0 + CURVE

    def y(rate: float) -> float:
        return bottom - CURVE * rate

    parts = _phase_bands(measured, 0, bottom) + time_axis(measured, bottom, top)
    for percent in (0, 25, 50, 75, 100):
        parts.append(svg.element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(percent / 100), y2=y(percent / 100),
                                 class_="grid"))
        parts.append(svg.text(LEFT - 6, y(percent / 100) + 4, f"{percent} %", class_="tick", text_anchor="end"))
    parts += [_curve(measured, bins, who, level, y) for level in ("fill", "store") for who in measured.accessors[::-1]]
    return svg.drawing(WIDTH, bottom + 20, parts, "share of RMP checks that RMPOPT saves, over guest time", id="curves")


def _weight(event: dict) -> int:
    """How many occurrences the event stands for."""
    return event.get("executed", event.get("count", 1))


def _marks(measured: Measured, kinds: tuple[str, ...], y: float) -> list[str]:
    """The marks of one lane. A higher mark stands for more events (logarithmic)."""
    by_place: dict[int, list[dict]] = {}
    for event in measured.events:
        if event["type"] in kinds:
            by_place.setdefault(round(MOST_MARKS * event["t"] / max(measured.seconds, 1e-9)), []).append(event)
    sizes = {at: math.log1p(sum(_weight(event) for event in events)) for at, events in by_place.items()}
    most, parts = max(sizes.values(), default=1.0), []
    for at, events in by_place.items():
        names = [f"{event['t']:.3f} s  {label(event)}" for event in events[:12]]
        shown = "\n".join(names + ([f"and {len(events) - 12} more"] if len(events) > 12 else []))
        height = 5 + (LANE - 9) * sizes[at] / most
        parts.append(svg.element("rect", svg.title(shown), x=LEFT + PLOT * at / MOST_MARKS - 1, y=y + LANE - 2 - height,
                                 width=2.0, height=height, class_="mark"))
    return parts


def lanes(measured: Measured) -> str:
    bottom = float(len(LANES) * LANE)
    parts = time_axis(measured, bottom, 0)
    for number, (name, kinds) in enumerate(LANES):
        y = float(number * LANE)
        parts.append(svg.text(LEFT - 6, y + LANE - 5, name, class_="tick", text_anchor="end"))
        parts.append(svg.element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y + LANE - 2, y2=y + LANE - 2, class_="grid"))
        parts += _marks(measured, kinds, y)
    return svg.drawing(WIDTH, bottom + 20, parts, "events over guest time", id="lanes")
