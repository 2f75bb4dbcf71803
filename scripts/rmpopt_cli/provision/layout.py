# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks the plugin whether a QEMU's internals are as it expects. QEMU is started for that, and ends before the guest's
first instruction."""
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import Failure
from ..base.paths import PLUGIN
from ..base.shell import last_line, output
from .qemu import Qemu

SIZE = "64M"


@dataclass(frozen=True)
class Fact:
    name: str
    why: str
    needed: bool
    state: str  # "ok", "not ok", "not tried"
    problem: str

    @property
    def ok(self) -> bool:
        return self.state == "ok"


def command(qemu: Qemu, result: Path, broken: str = "") -> list[str]:
    """The command that probes a QEMU and writes the facts to `result`. Tests name in `broken` a fact to fail."""
    options = [str(PLUGIN), f"probe={result}", *([f"break={broken}"] if broken else [])]
    return [*qemu.argv, "-no-user-config", "-nodefaults", "-display", "none", "-accel", "tcg",
            "-machine", "q35,smm=off,memory-backend=ram",
            "-object", f"memory-backend-memfd,id=ram,size={SIZE},share=on", "-m", SIZE, "-cpu", "EPYC",
            "-plugin", ",".join(options), "-device", "rmpopt-psp"]


def probe(qemu: Qemu, broken: str = "") -> list[Fact]:
    """All facts of plugin/qemu/layout.h. Fails if QEMU does not get far enough to answer."""
    with tempfile.TemporaryDirectory(prefix="rmpopt-") as scratch:
        result = Path(scratch, "facts.json")
        status, _, problem = output(command(qemu, result, broken), timeout=120)
        try:
            found = json.loads(result.read_text())["facts"]
        except (OSError, ValueError, KeyError):
            raise Failure(f"QEMU can't be probed (status {status}): {last_line(problem)}") from None
    return [Fact(**each) for each in found]
