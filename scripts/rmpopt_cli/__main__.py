# SPDX-License-Identifier: GPL-2.0-or-later
"""Run as a directory ("python3 scripts/rmpopt_cli"): make the package importable first."""
import os
import signal
import sys
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit(f"rmpopt: error: Python 3.11 or newer is needed, this is {sys.version.split()[0]}")

sys.path[0] = str(Path(__file__).resolve().parent.parent)

status: int = 130
try:
    if os.environ.pop("RMPOPT_TAKES_SIGINT", None):
        signal.signal(signal.SIGINT, signal.default_int_handler)
    from rmpopt_cli.cli import main  # noqa: E402  (the path above must be set first)
    status = main(sys.argv[1:])
except KeyboardInterrupt:  # before main() could take it, or while it told of something else
    print("rmpopt: error: interrupted", file=sys.stderr)
signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to be interrupted
sys.exit(status)
