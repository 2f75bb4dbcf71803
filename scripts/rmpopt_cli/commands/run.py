# SPDX-License-Identifier: GPL-2.0-or-later
"""The run command: a bare-metal test."""
import argparse
import sys
from pathlib import Path

from ..base import options
from ..guest import bare_metal, policies
from ..guest.bare_metal import BareMetalTest
from ..guest.machine import MachineOptions
from ..provision import setup
from ..provision.cache import Cache


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("run", help="run a bare-metal test", usage="rmpopt run TEST.elf [options]")
    parser.add_argument("elf", type=Path, metavar="TEST.elf")
    options.add(parser, BareMetalTest)
    options.add(parser, MachineOptions, memory=2 << 30, thread="multi", watch="off")
    parser.set_defaults(action=_run)


def _run(arguments: argparse.Namespace) -> int:
    bare_metal.check_elf(arguments.elf)
    cache, machine = Cache(), MachineOptions(**options.given(arguments, MachineOptions))
    machine.check()
    policies.check(cache, machine.policies, machine.library)
    qemu = setup.for_bare_metal(cache, machine.library, machine.qemu, arguments.elf)
    test = BareMetalTest(arguments.elf, machine, **options.given(arguments, BareMetalTest))
    status, output = bare_metal.execute(cache, qemu, test)
    sys.stdout.write(output)
    return status
