# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the report as CSV, with a row for each phase, core, region, accessor and level.

Rows without times have what was counted outside all phases, so the sum of all rows is the total.
"""
import csv as library
import io

from .measured import IN_NO_PHASE, OUTCOMES, Measured, phase_name

COLUMNS = ("phase", "start", "end", "core", "gb", "accessor", "level", *OUTCOMES)


def csv(measured: Measured) -> str:
    out = io.StringIO()
    writer = library.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for phase in measured.phases:
        for cell in phase["cells"]:
            writer.writerow([phase_name(phase), phase["start"], phase["end"], *cell])
    for cell in measured.outside:
        writer.writerow([IN_NO_PHASE, "", "", *cell])
    return out.getvalue()
