# SPDX-License-Identifier: GPL-2.0-or-later
"""What the machine that we run on has to spare."""
import os
import re
from pathlib import Path

UNLIMITED = 1 << 62


def available_memory(text: str | None = None) -> int:
    """Bytes that programs can take before this machine swaps or kills, by the text of /proc/meminfo."""
    if text is None:
        try:
            text = Path("/proc/meminfo").read_text()
        except OSError:
            return UNLIMITED
    found = re.search(r"^MemAvailable: *(\d+) kB", text, re.M)
    return int(found[1]) << 10 if found else UNLIMITED


def idle_cpus(load: float | None = None) -> int:
    """How many of the CPUs that we may use had nothing to do in the last minute, by the average load."""
    return max(0, round(len(os.sched_getaffinity(0)) - (os.getloadavg()[0] if load is None else load)))
