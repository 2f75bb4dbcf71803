# SPDX-License-Identifier: GPL-2.0-or-later
"""The policies command."""
import argparse

from ..guest import policies
from ..provision.cache import Cache


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sub = commands.add_parser("policies", help="list the choices for behaviour that AMD leaves open")
    sub.add_argument("--json", action="store_true", help="as JSON")
    sub.set_defaults(action=_policies)


def _policies(arguments: argparse.Namespace) -> int:
    return policies.show(Cache(), arguments.json)
