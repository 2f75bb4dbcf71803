# SPDX-License-Identifier: GPL-2.0-or-later
"""The report as CSV: a row for each phase, core, region, accessor and level.

All rows together are all that was counted: those without times are of no phase.
"""
import csv as library
import io

from .measured import OUTCOMES, Measured

COLUMNS = ("phase", "start", "end", "core", "gb", "accessor", "level", *OUTCOMES)


def csv(measured: Measured) -> str:
    out = io.StringIO()
    writer = library.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for phase in measured.phases:
        for cell in phase["cells"]:
            writer.writerow([phase["name"], phase["start"], phase["end"], *cell])
    for cell in measured.outside:
        writer.writerow(["", "", "", *cell])
    return out.getvalue()
