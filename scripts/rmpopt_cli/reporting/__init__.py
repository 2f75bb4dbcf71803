# SPDX-License-Identifier: GPL-2.0-or-later
"""Shows the measurement of a guest in forms for people and for other programs."""
from pathlib import Path

from ..base.errors import BadInput
from . import measured, page, spreadsheet, text, trace

OUTPUTS = {"report.txt": text.text, "report.csv": spreadsheet.csv, "trace.json": trace.trace,
           "report.html": page.page}


def render(directory: Path) -> list[Path]:
    """Writes all forms of the report into `directory`, beside report.json and events.jsonl."""
    found = measured.load(directory)
    written = []
    for name, make in OUTPUTS.items():
        path = directory / name
        try:
            path.write_text(make(found), encoding="utf-8")
        except OSError as problem:
            raise BadInput(f"report {path}: {problem.strerror}: give a directory that can be written") from problem
        written.append(path)
    return written
