# SPDX-License-Identifier: GPL-2.0-or-later
"""Arguments that all verbs share which start a machine."""
import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from ..base.errors import BadInput
from ..base.paths import PLUGIN
from ..guest import cpu, machine, policies
from ..provision.cache import Cache


def add(parser: argparse.ArgumentParser, memory: str, thread: str) -> None:
    parser.add_argument("--smp", default="4,cores=2,threads=2", metavar="SPEC", help="CPUs, as QEMU's -smp")
    parser.add_argument("--mem", default=memory, metavar="SIZE", help="guest memory, such as 6G")
    parser.add_argument("--persona", default="venice", choices=cpu.PERSONAS, help="which EPYC to be")
    parser.add_argument("--policy", action="append", default=[], metavar="NAME=VALUE",
                        help="choice for behaviour that AMD leaves open ('rmpopt policies' lists them); may be "
                             "repeated")
    parser.add_argument("--rmp", default="auto", choices=machine.RMP_LAYOUTS, help="layout of the RMP")
    parser.add_argument("--enforce", default="on", choices=("on", "off", "strict"),
                        help="fault stores that the RMP forbids; strict: also stores through 2 MB mappings")
    parser.add_argument("--audit", type=int, default=0, metavar="N",
                        help="recount the RMP every N RMP instructions; a contradiction ends QEMU")
    parser.add_argument("--measure", default="off", metavar="MODE",
                        help="count RMP checks of stores: off, exact, exact+tlb (also those of modelled TLBs), or "
                             "sampled=N (one in N blocks of code)")
    parser.add_argument("--tlb", default=machine.TLB, metavar="SIZE",
                        help="data TLBs to model: zen3, zen4, zen5, or entries such as 64/2048x16")
    parser.add_argument("--thread", default=thread, choices=("single", "multi"),
                        help=f"host threads for the guest's CPUs ({thread})")
    parser.add_argument("--qemu", metavar="PATH", help="QEMU to use")
    parser.add_argument("--plugin", type=Path, default=PLUGIN, metavar="PATH",
                        help="plugin of another build directory, used as it is")
    parser.add_argument("--no-plugin", action="store_true", help="stock QEMU, for comparison")


def plugin(arguments: argparse.Namespace) -> Path | None:
    if arguments.no_plugin:
        return None
    if arguments.plugin != PLUGIN and not arguments.plugin.is_file():
        raise BadInput(f"--plugin {arguments.plugin}: no such file: give the path of a librmpopt.so")
    return arguments.plugin.absolute()


def checked_policies(texts: Sequence[str], cache: Cache, library: Path | None) -> list[str]:
    wanted = [machine.check_policy(text) for text in texts]
    policies.check(cache, wanted, library)
    return wanted


def qemu_options(options: Sequence[str]) -> list[str]:
    try:
        return [word for text in options for word in shlex.split(text)]
    except ValueError as problem:
        raise BadInput(f"--qemu-opts: {problem}: check the quotes") from problem
