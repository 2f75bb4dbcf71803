# SPDX-License-Identifier: GPL-2.0-or-later
"""Bare-metal tests: a PVH ELF that prints KTAP on COM1 and ends through isa-debug-exit."""
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import QEMU_FAILED, TEST_FAILED, TIMEOUT, BadInput, Failure
from ..base.options import option
from ..base.shell import environment, last_line, tied_to_us
from ..provision.cache import Cache
from ..provision.qemu import Qemu
from . import machine
from .machine import MachineOptions

PASS, FAIL = 33, 35  # QEMU's status for the values 10h and 11h written to isa-debug-exit
DEBUG_EXIT = ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x4"]


@dataclass
class BareMetalTest:
    elf: Path
    machine: MachineOptions
    append: str = option("", "arguments for the test", metavar="S")
    timeout: float = option(120, "seconds to wait", metavar="S", parse=float)
    report: Path | None = option(None, "write the plugin's report, as JSON, to this file", metavar="FILE", parse=Path)


def check_elf(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
    except OSError as problem:
        raise BadInput(f"{path}: {problem.strerror}: give a bare-metal test such as "
                       "build/guest-tests/NAME.elf") from problem
    if magic != b"\x7fELF":
        raise BadInput(f"{path} is not an ELF file: give a bare-metal test such as build/guest-tests/NAME.elf")


def command(cache: Cache, qemu: Qemu, test: BareMetalTest, log: Path) -> list[str]:
    places = {"log": log, **({"report": test.report} if test.report else {})}
    words = [*machine.command(cache, qemu, test.machine, places), *DEBUG_EXIT,
             "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console", "-kernel", str(test.elf),
             *test.machine.qemu_options]
    return words + (["-append", test.append] if test.append else [])


def _end(process: subprocess.Popen[str], test: BareMetalTest) -> tuple[str, str]:
    try:
        return process.communicate(timeout=test.timeout)
    except subprocess.TimeoutExpired as hung:
        process.kill()
        process.communicate()
        partial = hung.stdout or b""
        text = partial.decode(errors="replace") if isinstance(partial, bytes) else partial
        raise Failure(f"{test.elf.name} did not end within {test.timeout:.0f} s (last output: "
                      f"{last_line(text)}): raise --timeout or look for a hang", TIMEOUT) from hung
    except BaseException:
        process.kill()
        process.wait()
        raise


def execute(cache: Cache, qemu: Qemu, test: BareMetalTest) -> tuple[int, str]:
    """Runs a test and returns our exit status and its KTAP output."""
    check_elf(test.elf)
    with tempfile.TemporaryDirectory(prefix="rmpopt-") as scratch:
        log = Path(scratch, "plugin.log")
        process = subprocess.Popen(tied_to_us(command(cache, qemu, test, log)), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                                   env=environment())
        output, problem = _end(process, test)
        reason = problem.strip() or (log.read_text(errors="replace") if log.exists() else "")
    if process.returncode in (PASS, FAIL) and output.strip():
        return (0 if process.returncode == PASS else TEST_FAILED), output
    sys.stdout.write(output)
    raise Failure(f"{test.elf.name} ended without a verdict (QEMU status {process.returncode}): {last_line(reason)}",
                  QEMU_FAILED)
