# SPDX-License-Identifier: GPL-2.0-or-later
"""The boot command."""
import argparse
from pathlib import Path

from ..base import options
from ..base.console import warn
from ..guest import linux, policies
from ..guest.brought import OWN_WITH_ROOT
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
    if arguments.dry_run:
        return linux.dry_run(cache, request)
    request.check()
    _warn_of_directory(request)
    return linux.boot(cache, request, View(request))["status"]


def _warn_of_directory(request: Request) -> None:
    here = Path.cwd()
    if request.root and not request.brought.has(here):
        warn(f"the guest starts in /, because it has no {here} (its {' and '.join(OWN_WITH_ROOT)} are empty): give "
             f"--share {here}")
