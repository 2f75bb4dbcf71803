# SPDX-License-Identifier: GPL-2.0-or-later
"""The explore command."""
import argparse
import re
from pathlib import Path

from ..base import options
from ..base.catalogue import chosen
from ..base.errors import BadInput, interrupted_means
from ..explore import points, search
from ..guest import stalls, workspace
from ..guest.given import Given
from ..guest.request import Request, script_of
from ..provision.cache import Cache
from ..scenarios.catalogue import SCENARIOS, Scenario

KEPT = 5  # searches that are kept when --output is not given
CHOSEN = ("require", "files", "symbols", "gdb")  # fields of Request that the user may set here, too
DEFAULT_SCENARIO = "guests-last-exit"


def _seeds(text: str) -> list[int]:
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    if not found or int(found.group(2) or found.group(1)) < int(found.group(1)):
        raise BadInput(f"--seeds {text}: give numbers such as 1-500")
    return list(range(int(found.group(1)), int(found.group(2) or found.group(1)) + 1))


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
    if not found or int(found.group(1)) > int(found.group(2)):
        raise BadInput(f"--shard {text}: give I/N, such as 2/8 for the second of eight machines")
    return int(found.group(1)), int(found.group(2))


def _longest(text: str) -> int:
    found = re.fullmatch(stalls.TIME, text)
    if not found or not 1000 <= int(found.group(1)) * stalls.UNITS[found.group(2)] <= stalls.LONGEST:
        raise BadInput(f"--longest {text}: give a time from 1us to 10000ms")
    return int(found.group(1)) * stalls.UNITS[found.group(2)]


def _count(flag: str, most: int):  # type: ignore[no-untyped-def]
    def parse(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= most:
            raise BadInput(f"{flag} {text}: give a number from 1 to {most}")
        return int(text)
    return parse


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("explore", help="search a kernel for races: let CPUs stall at drawn points",
                                 usage="rmpopt explore [options] [-- COMMAND...]\n       rmpopt explore merge DIR...")
    parser.add_argument("--scenario", metavar="NAME",
                        help=f"the scenario to explore, if there is no COMMAND (default: {DEFAULT_SCENARIO})")
    parser.add_argument("--seeds", type=_seeds, default="1-100", metavar="A-B", help="seeds of the draws (1-100)")
    parser.add_argument("--stalls", type=_count("--stalls", 20), default=3, metavar="N",
                        help="stalls in one run, at most (3)")
    parser.add_argument("--longest", type=_longest, default="20ms", metavar="TIME", help="longest stall (20ms)")
    parser.add_argument("--mode", choices=points.MODES, default=points.UNIFORM,
                        help="uniform: drawn times (default); priorities: each stall lasts until all other CPUs are "
                             "idle, or --longest")
    parser.add_argument("--minimise", action="store_true",
                        help="of each run that fails, drop the stalls that do not matter")
    parser.add_argument("--from-boot", action="store_true",
                        help="stall CPUs from the moment when SNP is switched on, not only while the scenario's script "
                             "runs")
    parser.add_argument("--enough", type=_count("--enough", 10 ** 6), default=0, metavar="N",
                        help="end the search when N runs have failed")
    parser.add_argument("--stall", action="append", default=[], type=stalls.parse, metavar="POINT:TIME",
                        dest="replayed",
                        help="do not search: execute the one run with these stalls")
    parser.add_argument("--repeat", type=_count("--repeat", 1000), default=1, metavar="N",
                        help="with --stall, how many times (1)")
    parser.add_argument("--jobs", type=int, default=0, metavar="N",
                        help="number of runs at the same time (default: one for each CPU)")
    parser.add_argument("--shard", type=_shard, default="1/1", metavar="I/N",
                        help="only every Nth seed, from the Ith on")
    parser.add_argument("--output", type=options.directory("--output"), metavar="DIR",
                        help="directory for results and reports; a search that was interrupted goes on there")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.add_argument("words", nargs="*", metavar="COMMAND", help="explore this command in the guest")
    options.add(parser, Request, only=("at",), unset=True)
    Given.add(parser, *CHOSEN)
    parser.set_defaults(action=_run)


def _scenario(arguments: argparse.Namespace) -> Scenario:
    if not arguments.words:
        [scenario] = chosen(SCENARIOS, [arguments.scenario or DEFAULT_SCENARIO], "scenario")
        return scenario
    if arguments.scenario:
        raise BadInput("--scenario and a COMMAND exclude each other")
    return Scenario("command", "a command of the user", script_of(arguments.words), rmpopt=False, complete=False)


def _words(given: Given, arguments: argparse.Namespace) -> list[str]:
    words = [*given.words(), *(["--from-boot"] if arguments.from_boot else [])]
    if arguments.words:
        return [*words, "--", *arguments.words]
    return [*words, "--scenario", arguments.scenario or DEFAULT_SCENARIO]


def _run(arguments: argparse.Namespace) -> int:
    if arguments.words[:1] == ["merge"]:
        return _merge(arguments)
    if ("gdb" in arguments or arguments.repeat > 1) and not arguments.replayed:
        raise BadInput("--gdb and --repeat go with --stall")
    given = Given.read(arguments, *CHOSEN)
    patterns = getattr(arguments, "at", [])
    words = _words(given, arguments)
    index, of = arguments.shard
    cache = Cache()
    scenario = _scenario(arguments)
    given.prepare(cache, arguments.replayed, patterns)
    wanted = search.Search(scenario, given, words, arguments.seeds[index - 1::of],
                           (arguments.output or workspace.fresh(cache, "explore", KEPT)).absolute(), patterns,
                           arguments.stalls, arguments.longest, arguments.mode, arguments.jobs, arguments.minimise,
                           arguments.from_boot or not scenario.script, arguments.enough)
    if arguments.replayed:
        return search.replay(wanted, arguments.replayed, arguments.repeat, print)
    with interrupted_means(f"the same command with --output {wanted.output} goes on from here"):
        runs = search.explore(wanted, lambda line: print(line, flush=True) if not arguments.json else None)
    return search.finish(runs, wanted.output, arguments.json)


def _merge(arguments: argparse.Namespace) -> int:
    directories = [Path(word) for word in arguments.words[1:]]
    for directory in directories:
        if not (directory / search.SETTINGS).is_file():
            raise BadInput(f"explore merge {directory}: no {search.SETTINGS} in it: give the --output of a search")
    if not directories:
        raise BadInput("explore merge: give the --output directories of searches")
    if len({(directory / search.SETTINGS).read_text() for directory in directories}) > 1:
        raise BadInput("explore merge: these are results of different searches")
    runs = {run.seed: run for directory in directories for run in search.done_before(directory)}
    return search.finish(list(runs.values()), directories[0], arguments.json)
