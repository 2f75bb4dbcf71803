#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Draws what a command printed as a picture of a terminal: COMMAND 2>&1 | terminal.py '$ COMMAND' > picture.svg"""
import html
import sys

CHARACTER, LINE, MARGIN = 7.8, 19, 16
COLOURS = {"[ ok ]": "#7ee787", "[warn]": "#f2cc60", "[ !! ]": "#ff7b72", "==>": "#79c0ff", "$": "#79c0ff"}


def drawn(text: str) -> str:
    """One line, with its first word in the colour of what it says."""
    word = next((word for word in COLOURS if text.startswith(word)), "")
    mark = f'<tspan fill="{COLOURS[word]}">{html.escape(word)}</tspan>' if word else ""
    return mark + html.escape(text[len(word):]).replace(" ", "&#160;")  # viewers fold ordinary spaces


def picture(lines: list[str]) -> str:
    width = max(map(len, lines)) * CHARACTER + 2 * MARGIN
    height = len(lines) * LINE + 2 * MARGIN
    rows = "\n".join(f'<text x="{MARGIN}" y="{MARGIN + LINE * n + 13}">{drawn(text)}</text>'
                     for n, text in enumerate(lines))
    return (f'<!-- SPDX-License-Identifier: GPL-2.0-or-later -->\n'
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}">\n'
            f'<rect width="100%" height="100%" rx="8" fill="#0d1117"/>\n'
            f'<g fill="#e6edf3" font-family="monospace" font-size="13">\n{rows}\n</g></svg>')


if __name__ == "__main__":
    print(picture([sys.argv[1], *sys.stdin.read().expandtabs().splitlines()]))
