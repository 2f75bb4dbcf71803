# SPDX-License-Identifier: GPL-2.0-or-later
"""The console command: one more terminal for a guest that runs with --shell."""
import argparse
import sys
from pathlib import Path

from ..base.console import note
from ..base.errors import OK
from ..guest import console
from ..guest.control_client import find
from ..provision.cache import Cache
from .ctl import SOCKET_HELP


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("console", help="open one more shell in a guest that runs with --shell")
    parser.add_argument("--socket", type=Path, metavar="PATH", help=SOCKET_HELP)
    parser.set_defaults(action=_console)


def _console(arguments: argparse.Namespace) -> int:
    directory = find(Cache(), arguments.socket).parent
    with console.free(directory) as ours:
        note("Ctrl-] leaves; the shell stays")
        console.attend(ours, sys.stdin.fileno(), sys.stdout.fileno())
    return OK
