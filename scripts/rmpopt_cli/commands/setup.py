# SPDX-License-Identifier: GPL-2.0-or-later
"""The setup command."""
import argparse

from ..base.errors import BadInput
from ..provision import check, setup
from ..provision.cache import Cache


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sub = commands.add_parser("setup", help="fetch and build everything that the other commands need")
    sub.add_argument("--check", action="store_true", help="only report the state")
    sub.add_argument("--json", action="store_true", help="report as JSON")
    sub.set_defaults(action=_setup)


def _setup(arguments: argparse.Namespace) -> int:
    if arguments.check:
        return check.run(Cache(), arguments.json)
    if arguments.json:
        raise BadInput("--json goes with --check")
    setup.everything(Cache())
    return check.run(Cache(), False)
