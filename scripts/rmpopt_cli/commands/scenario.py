# SPDX-License-Identifier: GPL-2.0-or-later
"""The scenario command."""
import argparse

from ..base.catalogue import chosen
from ..guest.given import Given
from ..provision.cache import Cache
from ..scenarios import runner
from ..scenarios.catalogue import SCENARIOS


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("scenario", help="put a kernel through situations in which it may go wrong")
    verbs = parser.add_subparsers(dest="scenario_command", required=True, metavar="list|run")
    sub = verbs.add_parser("list", help="say what there is")
    sub.add_argument("--json", action="store_true", help="as JSON")
    sub.set_defaults(action=lambda arguments: runner.show(arguments.json))
    sub = verbs.add_parser("run", help="boot a kernel for each scenario; prints KTAP")
    sub.add_argument("names", nargs="+", metavar="NAME", help='scenarios, or "all"')
    sub.add_argument("--jobs", type=int, default=0, metavar="N", help="boots at a time (default: one for each CPU)")
    sub.add_argument("--json", action="store_true", help="results as JSON on stdout")
    Given.add(sub)
    sub.set_defaults(action=_run)


def _run(arguments: argparse.Namespace) -> int:
    scenarios, given = chosen(SCENARIOS, arguments.names, "scenario"), Given.read(arguments)
    given.prepare(Cache())
    return runner.run(scenarios, given, arguments.jobs, arguments.json)
