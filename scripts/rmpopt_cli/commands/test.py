# SPDX-License-Identifier: GPL-2.0-or-later
"""The test command."""
import argparse

from ..base.errors import BadInput
from ..base.paths import IS_INSTALLED
from ..provision.cache import Cache


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sub = commands.add_parser("test", help="run all tests")
    sub.add_argument("pattern", nargs="?", default="", metavar="PATTERN", help="only tests whose name contains this")
    sub.add_argument("--distros", action="store_true",
                     help="instead, run the first commands in fresh installations of Debian 12, 13 and sid (PATTERN: "
                          "bookworm, trixie, sid); takes hours and needs root")
    sub.add_argument("--kernels", action="store_true",
                     help="instead, boot Debian's kernels of all versions in the archive with each persona")
    sub.add_argument("--list", action="store_true", help="print the names of the tests instead of running them")
    sub.add_argument("--json", action="store_true", help="print the results as JSON")
    sub.set_defaults(action=_test)


def _test(arguments: argparse.Namespace) -> int:
    if IS_INSTALLED:
        raise BadInput("the tests come with the source only: run scripts/rmpopt test in a checkout")
    from tests.system import runner  # here, because no other verb needs the tests
    if arguments.distros + arguments.kernels + arguments.list > 1:
        raise BadInput("--distros, --kernels and --list exclude each other")
    run = (runner.run_distros if arguments.distros else runner.run_kernels if arguments.kernels else
           runner.show_all if arguments.list else runner.run_all)
    return run(Cache(), arguments.pattern, arguments.json)
