# SPDX-License-Identifier: GPL-2.0-or-later
"""Building a kernel from a source, a patch series and a configuration."""
from pathlib import Path

from .cache import Cache
from .errors import Failure


def reference(cache: Cache) -> Path:
    """The reference kernel: Debian's linux-source with our series."""
    raise Failure("not yet")
