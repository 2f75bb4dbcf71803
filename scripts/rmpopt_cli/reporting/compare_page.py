# SPDX-License-Identifier: GPL-2.0-or-later
"""Shows two measured guests side by side as one self-contained HTML page."""
import json
from html import escape

from . import svg
from .compare import NOTE, columns, differing, percent, points
from .measured import PLACEMENT
from .page import document

WIDTH, LEFT, RIGHT = 1160.0, 230.0, 90.0
PLOT = WIDTH - LEFT - RIGHT
ROW = 40.0
LEVELS = (("store", "stores"), ("fill", "TLB fills (model)"))


def _x(rate: float) -> float:
    return LEFT + PLOT * rate


def _whisker(side: dict, y: float) -> str:
    """A line for the bounds of a sampled rate."""
    low, high = side["store_rate_low"], side["store_rate_high"]
    return "" if low is None else svg.element("line", x1=_x(low), x2=_x(high), y1=y, y2=y, class_="whisker")


def _phase(row: dict, level: str, y: float) -> list[str]:
    """The bars of A and B for one phase."""
    name = row["phase"] if len(row["phase"]) <= 30 else row["phase"][:29] + "…"
    parts = [svg.text(LEFT - 10, y + 19, name, class_="phase", text_anchor="end")]
    for key, at in (("a", y + 4), ("b", y + 18)):
        side = row[key]
        rate = side and side[f"{level}_rate"]
        shown = "not there" if side is None else percent(rate) if rate is not None else "no check due"
        if rate is not None:
            parts.append(svg.element("rect", svg.title(f"{key.upper()}: {percent(rate)}"), x=LEFT, y=at,
                                     width=max(PLOT * rate, 1.0), height=12.0, class_=f"side-{key}"))
            parts.append(_whisker(side, at + 6) if level == "store" else "")
        edge = max(rate or 0.0, side["store_rate_high"] or 0.0 if side and level == "store" else 0.0)
        parts.append(svg.text(_x(edge) + 6, at + 10, shown, class_="tick"))
    return parts


def _bars(compared: dict, level: str) -> str:
    bottom = ROW * len(compared["phases"])
    parts = []
    for share in (0, 25, 50, 75, 100):
        parts.append(svg.element("line", x1=_x(share / 100), x2=_x(share / 100), y1=0, y2=bottom, class_="grid"))
        parts.append(svg.text(_x(share / 100), bottom + 14, f"{share} %", class_="tick", text_anchor="middle"))
    for number, row in enumerate(compared["phases"]):
        parts += _phase(row, level, number * ROW)
    return svg.drawing(WIDTH, bottom + 20, parts, f"skip rates of {level}s by phase", id=f"bars-{level}")


def _table(compared: dict) -> str:
    shown = columns(compared)
    rows = []
    for number, row in enumerate(compared["phases"]):
        for key in ("a", "b"):
            name = f'<th scope="rowgroup" rowspan="3">{escape(row["phase"])}</th>' if key == "a" else ""
            cells = "".join(f"<td>{escape(cell(row[key]) if row[key] else '-')}</td>" for _, cell, _ in shown)
            rows.append(f"<tr>{name}<td>{key.upper()}</td>{cells}</tr>")
        cells = "".join(f'<td data-key="{number}.{key}" data-value="{json.dumps(row[key])}">{points(row[key])}</td>'
                        if key else "<td></td>" for _, _, key in shown)
        rows.append(f'<tr class="difference"><td>B-A</td>{cells}</tr>')
    heads = "".join(f"<th>{escape(name)}</th>" for name, _, _ in shown)
    return f"<table><thead><tr><th>phase</th><th></th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def page(compared: dict) -> str:
    sides = "".join(f'<dt><i class="key side-{key}"></i> {key.upper()}</dt><dd>{escape(side["report"])}: '
                    f'{escape(side["persona"])}, {side["cpus"]} CPUs, {escape(side["measured"])}</dd>'
                    for key, side in (("a", compared["a"]), ("b", compared["b"])))
    differ = "".join(f"<p>{escape(line)}</p>" for line in differing(compared))
    has_fills = any(key == "fill_rate_difference" for _, _, key in columns(compared))
    pictures = "".join(f"<section><h2>Checks skipped: {what}</h2>{_bars(compared, level)}</section>"
                       for level, what in LEVELS if level == "store" or has_fills)
    body = (f"<main><dl>{sides}</dl>{differ}{pictures}<section><h2>By phase</h2>{_table(compared)}"
            f'<p class="legend">{escape(NOTE)}; lines on bars: bounds of a sample; {escape(PLACEMENT)}</p></section>'
            "</main>")
    return document("RMP checks", "A and B side by side", body)
