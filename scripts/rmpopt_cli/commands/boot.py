# SPDX-License-Identifier: GPL-2.0-or-later
"""The boot command."""
import argparse

from ..base import options
from ..guest import linux, policies
from ..guest.machine import MachineOptions
from ..guest.request import Request, script_of
from ..guest.view import View
from ..provision.cache import Cache


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("boot", help="boot a Linux kernel and check its use of SNP and RMPOPT",
                                 usage="rmpopt boot [options] [-- COMMAND...]")
    options.add(parser, Request)
    parser.add_argument("--dry-run", action="store_true",
                        help="build what is missing and print the QEMU command, ready to paste")
    options.add(parser, MachineOptions)
    parser.add_argument("words", nargs="*", metavar="COMMAND", help="run this in the guest and return its status")
    parser.set_defaults(action=_boot)


def _boot(arguments: argparse.Namespace) -> int:
    cache = Cache()
    request = Request(**options.given(arguments, Request),
                      machine=MachineOptions(**options.given(arguments, MachineOptions)),
                      command=script_of(arguments.words))
    policies.check(cache, request.machine.policies, request.machine.library)
    return linux.dry_run(cache, request) if arguments.dry_run else linux.boot(cache, request, View(request))["status"]
