# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes SVG elements. Colours and fonts come from the page's style sheet."""
from collections.abc import Iterable
from html import escape

ROW = 14  # height of a lane or a row of a heat map


def element(name: str, content: str = "", **attributes: object) -> str:
    words = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
                    for key, value in attributes.items() if value is not None)
    return f"<{name}{words}>{content}</{name}>" if content else f"<{name}{words}/>"


def _short(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def text(x: float, y: float, content: str, **attributes: object) -> str:
    return element("text", escape(content), x=x, y=y, **attributes)


def title(content: str) -> str:
    return f"<title>{escape(content)}</title>"


def drawing(width: float, height: float, parts: Iterable[str], label: str, /, **attributes: object) -> str:
    """A whole drawing, which is scaled to the page unless `attributes` give a width."""
    return element("svg", "".join(parts), viewBox=f"0 0 {_short(width)} {_short(height)}", role="img",
                   aria_label=label, **attributes)


def ticks(end: float, most: int = 10) -> list[float]:
    """At most about `most` round numbers from 0 to `end`, at equal distances."""
    if end <= 0:
        return [0.0]
    step = 10.0 ** -3
    while True:
        for factor in (1, 2, 5):
            if end / (step * factor) <= most:
                return [n * step * factor for n in range(int(end / (step * factor) + 1e-9) + 1)]
        step *= 10


def shade(rate: float | None) -> str:
    """The class of a cell: s0 (all checked) to s10 (all skipped), or "none" if no check was due."""
    return "none" if rate is None else f"s{round(rate * 10)}"
