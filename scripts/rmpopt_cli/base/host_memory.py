# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory of the machine that we run on."""
import re
from pathlib import Path

UNLIMITED = 1 << 62


def available(text: str | None = None) -> int:
    """Bytes that programs can take before this machine swaps or kills, by the text of /proc/meminfo."""
    if text is None:
        try:
            text = Path("/proc/meminfo").read_text()
        except OSError:
            return UNLIMITED
    found = re.search(r"^MemAvailable: *(\d+) kB", text, re.M)
    return int(found[1]) << 10 if found else UNLIMITED
