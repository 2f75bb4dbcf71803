# SPDX-License-Identifier: GPL-2.0-or-later
"""The qemu command: a QEMU for other tools, with our machine in it."""
import argparse
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..base import options
from ..base.console import note
from ..base.errors import OK, QEMU_FAILED
from ..base.shell import environment, tied_to_us
from ..guest import foreign, machine, policies, rmpopt_use, symbols, watch, workspace
from ..guest.machine import MachineOptions
from ..provision import setup
from ..provision.cache import Cache
from ..provision.qemu import Qemu


OWNER = "RMPOPT_OWNER"  # the process with which QEMU ends, though others are between them


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    add_verb(commands, "qemu", "run another tool's QEMU command line on our machine", _qemu)


def add_verb(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, help: str,
             action: Callable[[argparse.Namespace], int]) -> None:
    """A verb that takes the options of the machine, and the arguments of another program."""
    parser = commands.add_parser(name, help=help, usage=f"rmpopt {name} [options] -- {name.upper()} ARGUMENTS")
    options.add(parser, MachineOptions, unset=True)
    parser.add_argument("words", nargs="*", metavar="ARGUMENT", help=f"as for {name}")
    parser.set_defaults(action=action)


def prepare(cache: Cache, given: dict[str, Any]) -> tuple[MachineOptions, Qemu]:
    """The machine that the user chose, and all that it needs."""
    chosen = MachineOptions(**given)
    chosen.check()
    policies.check(cache, chosen.policies, chosen.library)
    return chosen, setup.for_others(cache, chosen.library, chosen.qemu)


def _qemu(arguments: argparse.Namespace) -> int:
    cache, given = Cache(), options.given(arguments, MachineOptions)
    chosen, found = prepare(cache, given)
    if foreign.is_question(arguments.words):
        return subprocess.call([*found.argv, *arguments.words])
    theirs = foreign.read(arguments.words)
    ours = theirs.onto(chosen, {*given})
    space = workspace.create(cache, None)
    try:
        return _run(cache, found, ours, theirs, space)
    finally:
        space.drop_run()


def _run(cache: Cache, found: Qemu, ours: MachineOptions, theirs: foreign.Foreign,
         space: workspace.Workspace) -> int:
    places = {"log": space.plugin_log, "report": space.plugin_report, "events": space.events,
              "control": space.control_socket}
    argv = [*machine.command(cache, found, ours, places, has_psp=ours.has_rmp), *theirs.rest, *ours.qemu_options]
    signal.signal(signal.SIGINT, lambda *_: None)  # it is for QEMU, or for its guest
    process = subprocess.Popen(tied_to_us(argv), env=environment())
    _end_with(os.environ.get(OWNER), process)
    status = process.wait()
    _tell(space, theirs.kernel)
    return status if status >= OK else QEMU_FAILED


def _end_with(owner: str | None, process: subprocess.Popen[bytes]) -> None:
    if not owner:
        return
    try:
        alive = os.pidfd_open(int(owner))
    except ProcessLookupError:
        process.terminate()
        return

    def watch_it() -> None:
        select.select([alive], [], [])  # readable when the process has ended
        process.terminate()

    threading.Thread(target=watch_it, daemon=True).start()


def _tell(space: workspace.Workspace, kernel: Path | None) -> None:
    """What the machine has seen, on stderr: stdout is the guest's."""
    try:
        report = json.loads(space.plugin_report.read_text())
    except (OSError, ValueError):
        note(f"the plugin left no report in {space.report}")
        return
    names = symbols.for_kernel(None, kernel) if kernel else None
    use = rmpopt_use.of(report, [], frozenset(range(report.get("cpus", 0))))
    if use:
        note(f"RMPOPT: {use.text}")
    for line in watch.lines(watch.findings(report, names), watch.awaited(report)):
        print(line, file=sys.stderr)
    note(f"report: {space.report}")
