# SPDX-License-Identifier: GPL-2.0-or-later
"""The scenario command."""
import argparse
from pathlib import Path

from ..base.paths import PLUGIN
from ..provision import kernel, setup
from ..provision.cache import Cache
from ..scenarios import runner


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("scenario", help="put a kernel through situations in which it may go wrong")
    verbs = parser.add_subparsers(dest="scenario_command", required=True, metavar="list|run")
    sub = verbs.add_parser("list", help="say what there is")
    sub.add_argument("--json", action="store_true", help="as JSON")
    sub.set_defaults(action=lambda arguments: runner.show(arguments.json))
    sub = verbs.add_parser("run", help="boot a kernel for each scenario; prints KTAP")
    sub.add_argument("names", nargs="+", metavar="NAME", help='scenarios, or "all"')
    sub.add_argument("--kernel", default="", metavar="BZIMAGE", help="as in boot")
    sub.add_argument("--modules", default="", metavar="DIR", help="as in boot")
    sub.add_argument("--append", default="", metavar="S", help="more words for the kernel command line")
    sub.add_argument("--policy", action="append", default=[], metavar="NAME=VALUE", help="as in boot")
    sub.add_argument("--plugin", type=Path, default=PLUGIN, metavar="PATH", help="as in boot")
    sub.add_argument("--jobs", type=int, default=0, metavar="N", help="boots at a time (default: one for each CPU)")
    sub.add_argument("--json", action="store_true", help="results as JSON on stdout")
    sub.set_defaults(action=_scenario)


def _scenario(arguments: argparse.Namespace) -> int:
    options = [word for name in ("kernel", "modules") if getattr(arguments, name)
               for word in (f"--{name}", getattr(arguments, name))]
    options += [word for policy in arguments.policy for word in ("--policy", policy)]
    runner.chosen(arguments.names)  # refuses bad names before anything is built
    if arguments.plugin != PLUGIN:
        options += ["--plugin", str(arguments.plugin)]
    cache = Cache()
    setup.for_plugin(cache, arguments.plugin, None)
    if not arguments.kernel:
        kernel.reference(cache)
    return runner.run(arguments.names, options, arguments.append, arguments.jobs, arguments.json)
