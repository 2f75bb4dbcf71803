# SPDX-License-Identifier: GPL-2.0-or-later
"""The vng command: virtme-ng with our machine as its QEMU."""
import argparse
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from ..base import options
from ..base.errors import BadInput
from ..base.paths import PROGRAM
from ..guest.machine import MachineOptions
from ..provision.cache import Cache
from .qemu import OWNER, add_verb, prepare

# There is neither KVM nor a microvm with SNP.
WITHOUT = ("--disable-kvm", "--disable-microvm")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    add_verb(commands, "vng", "run virtme-ng on our machine", _vng)


def _vng(arguments: argparse.Namespace) -> int:
    program = shutil.which("vng")
    if not program:
        raise BadInput("vng is not installed: run 'apt-get install virtme-ng' (Debian 13 and newer have it)")
    given = options.given(arguments, MachineOptions)
    prepare(Cache(), given)
    with tempfile.TemporaryDirectory(prefix="rmpopt-") as scratch:
        qemu = Path(scratch, "qemu")
        ours = shlex.join([str(PROGRAM), "qemu", *options.words(MachineOptions, given)])
        qemu.write_text(f'#!/bin/sh\nexec {ours} -- "$@"\n')
        qemu.chmod(0o755)
        signal.signal(signal.SIGINT, lambda *_: None)  # it is for vng
        return subprocess.call([program, *WITHOUT, "--qemu", str(qemu), *arguments.words],
                               env={**os.environ, OWNER: str(os.getpid())})
