# SPDX-License-Identifier: GPL-2.0-or-later
"""Arguments and dispatch."""
import argparse
import sys
from pathlib import Path

from . import machine, run, setup, testing
from .cache import Cache
from .console import error
from .errors import SETUP_FAILED, BadInput, Failure

STATUS_HELP = """\
exit status: 0 success; 1 a test failed; 2 bad input; 121 guest died; 122 QEMU failed;
123 the guest showed something wrong; 124 timeout; 125 rmpopt itself failed.
"boot -- COMMAND" returns the status of COMMAND."""


def _machine_arguments(parser: argparse.ArgumentParser, memory: str) -> None:
    parser.add_argument("--smp", default="4,cores=2,threads=2", metavar="SPEC", help="CPUs, as QEMU's -smp")
    parser.add_argument("--mem", default=memory, metavar="SIZE", help="guest memory, such as 6G")
    parser.add_argument("--persona", default="venice", choices=machine.PERSONAS, help="which EPYC to be")
    parser.add_argument("--policy", action="append", default=[], metavar="NAME=VALUE",
                        help="choice for behaviour that AMD leaves open; may be repeated")
    parser.add_argument("--rmp", default="auto", choices=machine.RMP_LAYOUTS, help="layout of the RMP")
    parser.add_argument("--enforce", default="on", choices=("on", "off"), help="fault stores that the RMP forbids")
    parser.add_argument("--qemu", metavar="PATH", help="QEMU to use")
    parser.add_argument("--no-plugin", action="store_true", help="stock QEMU, for comparison")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rmpopt", epilog=STATUS_HELP,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description="AMD SEV-SNP's RMP and RMPOPT on a stock QEMU.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    sub = commands.add_parser("setup", help="fetch and build everything that the other commands need")
    sub.set_defaults(action=_setup)

    sub = commands.add_parser("run", help="run a bare-metal test")
    sub.add_argument("elf", type=Path, metavar="TEST.elf")
    sub.add_argument("--append", default="", metavar="S", help="arguments for the test")
    sub.add_argument("--timeout", type=float, default=120, metavar="S", help="seconds to wait (120)")
    _machine_arguments(sub, "2G")
    sub.set_defaults(action=_run)

    sub = commands.add_parser("test", help="run all tests")
    sub.add_argument("pattern", nargs="?", default="", metavar="PATTERN", help="only tests whose name contains this")
    sub.add_argument("--json", action="store_true", help="results as JSON on stdout")
    sub.set_defaults(action=_test)
    return parser


def _setup(arguments: argparse.Namespace) -> int:
    setup.built(Cache())
    return 0


def _run(arguments: argparse.Namespace) -> int:
    run.check_elf(arguments.elf)
    test = run.BareMetalTest(
        elf=arguments.elf, persona=arguments.persona, memory=machine.parse_size(arguments.mem),
        smp=machine.check_smp(arguments.smp), rmp=arguments.rmp, enforce=arguments.enforce,
        policies=[machine.check_policy(text) for text in arguments.policy], append=arguments.append,
        timeout=arguments.timeout, with_plugin=not arguments.no_plugin)
    cache = Cache()
    qemu = setup.tools(cache, arguments.qemu) if arguments.no_plugin else setup.built(cache, arguments.qemu)
    status, output = run.execute(qemu, test)
    sys.stdout.write(output)
    return status


def _test(arguments: argparse.Namespace) -> int:
    return testing.run_all(Cache(), arguments.pattern, arguments.json)


def main(words: list[str]) -> int:
    arguments = _parser().parse_args(words)
    try:
        return arguments.action(arguments)
    except BadInput as problem:
        error(str(problem))
        return problem.status
    except Failure as problem:
        error(str(problem))
        return problem.status
    except KeyboardInterrupt:
        error("interrupted; the next run goes on from here")
        return 130
    except BrokenPipeError:
        return SETUP_FAILED
