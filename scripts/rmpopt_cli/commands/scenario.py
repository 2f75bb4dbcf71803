# SPDX-License-Identifier: GPL-2.0-or-later
"""The scenario command."""
import argparse

from ..base.catalogue import chosen
from ..guest.given import Given
from ..provision.cache import Cache
from ..scenarios import runner
from ..scenarios.catalogue import SCENARIOS


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("scenario", help="put a kernel through situations that are easy to get wrong")
    verbs = parser.add_subparsers(dest="scenario_command", required=True, metavar="list|run")
    sub = verbs.add_parser("list", help="list the scenarios")
    sub.add_argument("--json", action="store_true", help="print the list as JSON")
    sub.set_defaults(action=lambda arguments: runner.show(arguments.json))
    sub = verbs.add_parser("run", help="boot a kernel for each scenario and print KTAP",
                           usage="rmpopt scenario run NAME... [options]")
    sub.add_argument("names", nargs="+", metavar="NAME", help='scenarios, or "all"')
    sub.add_argument("--jobs", type=int, default=0, metavar="N",
                     help="number of boots at the same time (default: one for each CPU)")
    sub.add_argument("--json", action="store_true", help="print the results as JSON")
    Given.add(sub, "require")
    sub.set_defaults(action=_run)


def _run(arguments: argparse.Namespace) -> int:
    scenarios, given = chosen(SCENARIOS, arguments.names, "scenario"), Given.read(arguments, "require")
    given.prepare(Cache())
    return runner.run(scenarios, given, arguments.jobs, arguments.json)
