# SPDX-License-Identifier: GPL-2.0-or-later
"""The experiment command."""
import argparse

from ..base import options
from ..base.catalogue import chosen
from ..base.errors import BadInput, interrupted_means
from ..experiments import runner
from ..experiments.catalogue import EXPERIMENTS
from ..guest import workspace
from ..guest.given import Given
from ..provision.cache import Cache

KEPT = 5  # result directories that are kept when --output is not given


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("experiment", help="measure what RMPOPT saves and costs in standard situations",
                                 usage="rmpopt experiment list | [run] NAME... [options]")
    parser.add_argument("names", nargs="+", metavar="NAME", help='experiments, or "all"; "list" shows them')
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="number of boots in each setting (3)")
    parser.add_argument("--phase", action="append", default=[], metavar="NAME",
                        help="only this phase (row of the table); may be repeated")
    parser.add_argument("--setting", action="append", default=[], metavar="NAME",
                        help="only this setting (column of the table); may be repeated")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="number of boots at the same time (1)")
    parser.add_argument("--output", type=options.directory("--output"), metavar="DIR",
                        help="directory for the results and the report of each boot")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    Given.add(parser)
    parser.set_defaults(action=_run)


def _given(arguments: argparse.Namespace) -> Given:
    """The user's choices. --tlb implies --measure exact+tlb."""
    given = Given.read(arguments)
    if "tlb" in given.machine:
        measure = given.machine.setdefault("measure", "exact+tlb")
        if measure not in ("exact", "exact+tlb"):
            raise BadInput(f"--tlb goes with --measure exact+tlb, not {measure}")
        given.machine["measure"] = "exact+tlb"
    return given


def _run(arguments: argparse.Namespace) -> int:
    if arguments.names == ["list"]:
        return runner.show(arguments.json)
    names = arguments.names[1:] if arguments.names[0] == "run" else arguments.names
    if not names:
        raise BadInput("experiment run: name an experiment: 'rmpopt experiment list' shows them")
    experiments = chosen(EXPERIMENTS, names, "experiment")
    plan = runner.Plan(repeat=arguments.repeat, jobs=arguments.jobs, phases=arguments.phase,
                       settings=arguments.setting, given=_given(arguments))
    plan.check(experiments)  # before anything is built
    cache = Cache()
    plan.output = (arguments.output or workspace.fresh(cache, "experiments", KEPT)).absolute()
    plan.given.prepare(cache)
    with interrupted_means(f"the results so far are in {plan.output}; the next run begins anew"):
        return runner.run(experiments, plan, arguments.json)
