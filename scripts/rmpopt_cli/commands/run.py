# SPDX-License-Identifier: GPL-2.0-or-later
"""The run command: a bare-metal test."""
import argparse
import sys
from pathlib import Path

from ..guest import bare_metal, machine
from ..provision import setup
from ..provision.cache import Cache
from . import machine_arguments


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sub = commands.add_parser("run", help="run a bare-metal test")
    sub.add_argument("elf", type=Path, metavar="TEST.elf")
    sub.add_argument("--append", default="", metavar="S", help="arguments for the test")
    sub.add_argument("--timeout", type=float, default=120, metavar="S", help="seconds to wait (120)")
    sub.add_argument("--report", type=Path, metavar="FILE", help="the plugin's report as JSON")
    sub.add_argument("--qemu-opts", action="append", default=[], metavar="S", help="more QEMU options")
    machine_arguments.add(sub, "2G", "multi")
    sub.set_defaults(action=_run)


def _run(arguments: argparse.Namespace) -> int:
    bare_metal.check_elf(arguments.elf)
    cache, plugin = Cache(), machine_arguments.plugin(arguments)
    test = bare_metal.BareMetalTest(
        elf=arguments.elf, persona=arguments.persona, memory=machine.parse_size(arguments.mem),
        smp=machine.check_smp(arguments.smp), rmp=arguments.rmp, enforce=arguments.enforce,
        audit=arguments.audit, measure=machine.check_measure(arguments.measure),
        tlb=machine.check_tlb(arguments.tlb), report=arguments.report,
        thread=arguments.thread, policies=machine_arguments.checked_policies(arguments.policy, cache, plugin),
        append=arguments.append,
        timeout=arguments.timeout, plugin=plugin, qemu_options=machine_arguments.qemu_options(arguments.qemu_opts))
    qemu = setup.for_plugin(cache, test.plugin, arguments.qemu)
    status, output = bare_metal.execute(cache, qemu, test)
    sys.stdout.write(output)
    return status
