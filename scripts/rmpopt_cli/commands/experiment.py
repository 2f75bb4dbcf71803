# SPDX-License-Identifier: GPL-2.0-or-later
"""The experiment command."""
import argparse
import tempfile
import time
from pathlib import Path

from ..base.errors import BadInput
from ..base.paths import PLUGIN
from ..experiments import runner
from ..guest import machine, workspace
from ..provision import kernel, setup
from ..provision.cache import Cache

KEPT = 5  # results of experiments without --output


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("experiment", help="measure what RMPOPT saves and costs, in the standard situations",
                                 usage="rmpopt experiment list | [run] NAME... [options]")
    parser.add_argument("names", nargs="+", metavar="NAME", help='experiments, or "all"; "list" says what there is')
    parser.add_argument("--kernel", default="", metavar="BZIMAGE", help="as in boot")
    parser.add_argument("--modules", default="", metavar="DIR", help="as in boot")
    parser.add_argument("--append", default="", metavar="S", help="more words for the kernel command line")
    parser.add_argument("--smp", default="", metavar="SPEC", help="CPUs, as in boot")
    parser.add_argument("--mem", default="", metavar="SIZE", help="memory (default: what the experiment needs)")
    parser.add_argument("--measure", default="exact", metavar="MODE", help="exact, exact+tlb or sampled=N (exact)")
    parser.add_argument("--tlb", default="", metavar="SIZE", help="model data TLBs, as in boot; implies exact+tlb")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="boots of each setting (3)")
    parser.add_argument("--phase", action="append", default=[], metavar="NAME",
                        help="only this phase (row of the table); may be repeated")
    parser.add_argument("--setting", action="append", default=[], metavar="NAME",
                        help="only this setting (column of the table); may be repeated")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="boots at a time (1)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where results and each boot's report go")
    parser.add_argument("--plugin", type=Path, default=PLUGIN, metavar="PATH", help="as in boot")
    parser.add_argument("--json", action="store_true", help="results as JSON on stdout")
    parser.set_defaults(action=_run)


def _options(arguments: argparse.Namespace) -> list[str]:
    """Of boot, as they were given."""
    if arguments.smp:
        machine.check_smp(arguments.smp)
    options = [word for name in ("kernel", "modules", "smp") if getattr(arguments, name)
               for word in (f"--{name}", getattr(arguments, name))]
    if arguments.tlb:
        options += ["--tlb", machine.check_tlb(arguments.tlb)]
    if arguments.plugin != PLUGIN:
        if not arguments.plugin.is_file():
            raise BadInput(f"--plugin {arguments.plugin}: no such file: give the path of a librmpopt.so")
        options += ["--plugin", str(arguments.plugin.absolute())]
    return options


def _plan(arguments: argparse.Namespace) -> runner.Plan:
    measure = machine.check_measure(arguments.measure)
    if arguments.tlb and measure not in ("exact", "exact+tlb"):
        raise BadInput(f"--tlb goes with --measure exact+tlb, not {measure}")
    if arguments.mem:
        machine.parse_size(arguments.mem)
    return runner.Plan(repeat=arguments.repeat, jobs=arguments.jobs, memory=arguments.mem,
                           measure="exact+tlb" if arguments.tlb else measure, phases=arguments.phase,
                           settings=arguments.setting, options=_options(arguments), append=arguments.append)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.names == ["list"]:
        return runner.show(arguments.json)
    names = arguments.names[1:] if arguments.names[0] == "run" else arguments.names
    if not names:
        raise BadInput("experiment run: name an experiment: 'rmpopt experiment list' shows them")
    experiments, plan = runner.chosen(names), _plan(arguments)
    plan.check(experiments)  # refuses bad words before anything is built
    cache = Cache()
    plan.output = (arguments.output or _directory(cache)).absolute()
    setup.for_plugin(cache, arguments.plugin, None)
    if not arguments.kernel:
        kernel.reference(cache)
    return runner.run(experiments, plan, arguments.json)


def _directory(cache: Cache) -> Path:
    """One of our own, when the user names none."""
    parent = cache.directory("experiments")
    workspace.prune(parent, KEPT)
    return Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=parent))
