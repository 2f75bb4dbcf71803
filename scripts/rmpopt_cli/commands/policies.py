# SPDX-License-Identifier: GPL-2.0-or-later
"""The policies command."""
import argparse
import shutil
import textwrap
from collections.abc import Sequence

from ..base.errors import OK
from ..guest.policies import Policy, own, parse
from ..provision.cache import Cache

WIDEST = 110
NARROWEST_TEXT = 30


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("policies", help="list the choices for behaviour that AMD leaves open")
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    parser.set_defaults(action=_run)


def _run(arguments: argparse.Namespace) -> int:
    text = own(Cache())
    print(text.rstrip() if arguments.json else "\n".join(table(parse(text), shutil.get_terminal_size().columns)))
    return OK


def _values(policy: Policy) -> str:
    return ", ".join(value + ("*" if value == policy.default else "") for value in policy.values)


def table(known: Sequence[Policy], columns: int) -> list[str]:
    """Lines for a terminal: each policy with its values, meaning and source, then a legend."""
    rows = [("POLICY", "VALUES", ["WHAT IT DECIDES"])]
    rows += [(p.name, _values(p), [p.meaning, f"source: {p.source}"]) for p in known]
    left = [max(len(row[i]) for row in rows) for i in (0, 1)]
    room = max(min(columns, WIDEST) - sum(left) - 4, NARROWEST_TEXT)
    lines = []
    for name, values, texts in rows:
        wrapped = [line for text in texts for line in textwrap.wrap(text, room, break_on_hyphens=False)]
        lines.append(f"{name:{left[0]}}  {values:{left[1]}}  {wrapped[0]}")
        lines += [" " * (sum(left) + 4) + line for line in wrapped[1:]]
    return [*lines, "", *_legend(known, min(columns, WIDEST))]


def _legend(known: Sequence[Policy], columns: int) -> list[str]:
    words = {value: meaning for policy in known for value, meaning in policy.values.items()}
    left = max(map(len, words)) + 2
    room = max(columns - left, NARROWEST_TEXT)
    lines = ["* the default. The values:"]
    for value, meaning in words.items():
        lines += textwrap.wrap(f"{value:{left}}{meaning}", left + room, subsequent_indent=" " * left)
    return lines
