# SPDX-License-Identifier: GPL-2.0-or-later
"""The report command."""
import argparse
import sys
from pathlib import Path

from .. import reporting
from ..base.console import say
from ..base.errors import OK


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sub = commands.add_parser("report", help="write text, CSV, a trace and an HTML page about a measured boot")
    sub.add_argument("directory", type=Path, metavar="DIR", help="report directory of a measured boot")
    sub.add_argument("--json", action="store_true", help="print report.json instead of the text")
    sub.set_defaults(action=_report)


def _report(arguments: argparse.Namespace) -> int:
    written = reporting.render(arguments.directory)
    name = "report.json" if arguments.json else "report.txt"
    sys.stdout.write((arguments.directory / name).read_text())
    say("written: " + ", ".join(map(str, written)))
    return OK
