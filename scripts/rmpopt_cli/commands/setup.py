# SPDX-License-Identifier: GPL-2.0-or-later
"""The setup command."""
import argparse

from ..base.errors import BadInput
from ..provision import check, qemu, setup
from ..provision.cache import Cache


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sub = commands.add_parser("setup", help="fetch and build everything that the other commands need")
    sub.add_argument("--check", action="store_true",
                     help="only report the state, and whether QEMU's internals are as the plugin expects")
    sub.add_argument("--qemu", metavar="PATH", help="with --check: the QEMU to check")
    sub.add_argument("--json", action="store_true", help="print the report as JSON")
    sub.set_defaults(action=_setup)


def _setup(arguments: argparse.Namespace) -> int:
    if arguments.check:
        cache = Cache()
        return check.run(cache, arguments.json, qemu.given(arguments.qemu, cache) if arguments.qemu else None)
    if arguments.qemu:
        raise BadInput("--qemu goes with --check")
    if arguments.json:
        raise BadInput("--json goes with --check")
    setup.everything(Cache())
    return check.run(Cache(), False)
