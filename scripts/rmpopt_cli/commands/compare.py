# SPDX-License-Identifier: GPL-2.0-or-later
"""The compare command."""
import argparse
import json
from pathlib import Path

from ..base.errors import OK, BadInput
from ..reporting import compare, compare_page, measured


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sub = commands.add_parser("compare", help="compare two measured boots")
    sub.add_argument("first", type=Path, metavar="A", help="report directory")
    sub.add_argument("second", type=Path, metavar="B", help="report directory")
    sub.add_argument("--html", type=Path, metavar="FILE", help="also write an HTML page")
    sub.add_argument("--json", action="store_true", help="print the result as JSON")
    sub.set_defaults(action=_compare)


def _compare(arguments: argparse.Namespace) -> int:
    compared = compare.compare(measured.load(arguments.first), measured.load(arguments.second))
    if arguments.html:
        try:
            arguments.html.write_text(compare_page.page(compared), encoding="utf-8")
        except OSError as problem:
            raise BadInput(f"--html {arguments.html}: {problem.strerror}: give a file that can be written") from problem
    print(json.dumps(compared, indent=1) if arguments.json else compare.table(compared))
    return OK
