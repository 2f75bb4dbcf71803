# SPDX-License-Identifier: GPL-2.0-or-later
"""The test command."""
import argparse

from ..provision.cache import Cache


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sub = commands.add_parser("test", help="run all tests")
    sub.add_argument("pattern", nargs="?", default="", metavar="PATTERN", help="only tests whose name contains this")
    sub.add_argument("--json", action="store_true", help="results as JSON on stdout")
    sub.set_defaults(action=_test)


def _test(arguments: argparse.Namespace) -> int:
    from tests.system import runner  # no other verb needs the tests
    return runner.run_all(Cache(), arguments.pattern, arguments.json)
