# SPDX-License-Identifier: GPL-2.0-or-later
"""The QEMU CPU model of a persona, without the features that TCG lacks.

QEMU would leave these features out itself, but with a warning for each feature and CPU. Asking once and
switching them off by name gives the same CPU without the warnings.
"""
import json
import re
import subprocess

from ..base.shell import environment
from ..provision.cache import Cache, sha256_text
from ..provision.qemu import Qemu

PERSONAS = {
    "venice": "EPYC-Turin,model=80",
    "turin": "EPYC-Turin",
    "genoa": "EPYC-Genoa",
    "milan": "EPYC-Milan",
}
# TCG executes string instructions byte by byte. A guest that is not told they are fast uses plain loops, and clears its
# RMP in half the time.
SLOW_STRINGS = "-erms,-fsrm,-fsrs,-fzrm"
COMMON = f"-hypervisor,+svm,+npt,xlevel=0x80000026,phys-bits=48,{SLOW_STRINGS}"
UNSUPPORTED = re.compile(r"TCG doesn't support requested feature: \S+\.([a-z0-9-]+) \[bit \d+\]$", re.M)
ASKING_TAKES_AT_MOST = 30


def model(qemu: Qemu, persona: str, cache: Cache) -> str:
    """The value of -cpu."""
    full = f"{PERSONAS[persona]},{COMMON}"
    binary = qemu.binary.stat()
    known = cache.directory("cpu") / sha256_text(str(qemu.binary), str(binary.st_mtime_ns), full)[:24]
    try:
        lacking = json.loads(known.read_text())
    except (OSError, ValueError):
        lacking = _ask(qemu, full)
        known.write_text(json.dumps(lacking))
    return ",".join([full, *(f"-{name}" for name in lacking)])


def _ask(qemu: Qemu, full: str) -> list[str]:
    """Features that QEMU reports as unavailable; empty if QEMU cannot be asked."""
    try:
        done = subprocess.run([*qemu.argv, "-nodefaults", "-display", "none", "-S", "-accel", "tcg", "-machine", "q35",
                               "-cpu", full, "-monitor", "stdio"], input="quit\n", capture_output=True, text=True,
                              timeout=ASKING_TAKES_AT_MOST, env=environment())
    except (OSError, subprocess.TimeoutExpired):
        return []
    return list(dict.fromkeys(UNSUPPORTED.findall(done.stderr)))
