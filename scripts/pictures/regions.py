#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Draws when RMPOPT served which region, and when guests lived: regions.py DIR > picture.svg

DIR is the report of a measured boot (--measure exact --report DIR).
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rmpopt_cli.reporting import measured, svg, timeline  # noqa: E402

LEFT, PLOT, ROW, TOP, MARGIN = 80, 800, 16, 26, 16
COLOURS = {"all cores": "#3fb950", "some cores": "#9e8a2b", "no core": "#30363d"}
TEXT, GUEST = "#e6edf3", "#58a6ff"


def states(found: measured.Measured) -> list[tuple[float, timeline.Table]]:
    return [(0.0, {}), *timeline.tables(found), (found.seconds, timeline.last_table(found))]


def share(table: timeline.Table, region: int, cores: int) -> str:
    holders = sum(region in table.get(core, ()) for core in range(cores))
    return "all cores" if holders == cores else "some cores" if holders else "no core"


def lives(found: measured.Measured) -> list[tuple[float, float]]:
    begun = [event["t"] for event in found.of("guest") if event["action"] == "created"]
    ended = [event["t"] for event in found.of("guest") if event["action"] == "ended"]
    return [(start, ended[n] if n < len(ended) else found.seconds) for n, start in enumerate(begun)]


def picture(found: measured.Measured) -> str:
    regions, cores = len(found.report["regions"]), found.report["cores"]
    bottom = TOP + regions * ROW

    def x(seconds: float) -> float:
        return LEFT + PLOT * seconds / found.seconds

    def text(at: float, y: float, words: str, anchor: str = "middle") -> str:
        return svg.text(at, y, words, fill=TEXT, font_size=12, font_family="sans-serif", text_anchor=anchor)

    parts = [svg.element("rect", width="100%", height="100%", rx=8, fill="#0d1117")]
    changes = states(found)
    for region in range(regions):
        y = TOP + region * ROW
        parts.append(text(LEFT - 8, y + 12, f"{region} GiB", "end"))
        for (begin, table), (end, _) in zip(changes, changes[1:]):
            parts.append(svg.element("rect", x=x(begin), y=float(y), width=x(end) - x(begin), height=ROW - 2.0,
                                     fill=COLOURS[share(table, region, cores)]))
    for start, end in lives(found):
        parts.append(svg.element("rect", x=x(start), y=float(TOP - 3), width=x(end) - x(start),
                                 height=float(bottom - TOP + 4), fill=GUEST, fill_opacity="0.12", stroke=GUEST))
        parts.append(text((x(start) + x(end)) / 2, TOP - 9, "an SNP guest"))
    for tick in svg.ticks(found.seconds):
        parts.append(text(x(tick), bottom + 16, f"{tick:g} s"))
    for n, (word, colour) in enumerate(COLOURS.items()):
        parts.append(svg.element("rect", x=LEFT + n * 180, y=bottom + 28, width=12, height=12, fill=colour))
        parts.append(text(LEFT + n * 180 + 18, bottom + 38, f"optimised on {word}", "start"))
    drawing = svg.drawing(LEFT + PLOT + MARGIN, bottom + 52, parts, "regions over the life of a guest",
                          xmlns="http://www.w3.org/2000/svg", width=LEFT + PLOT + MARGIN)
    return f"<!-- SPDX-License-Identifier: GPL-2.0-or-later -->\n{drawing}"


if __name__ == "__main__":
    print(picture(measured.load(Path(sys.argv[1]))))
