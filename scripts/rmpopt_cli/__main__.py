# SPDX-License-Identifier: GPL-2.0-or-later
"""Run as a directory ("python3 scripts/rmpopt_cli"): make the package importable first."""
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

if sys.version_info < (3, 11):
    sys.exit(f"rmpopt: error: Python 3.11 or newer is needed, this is {sys.version.split()[0]}")

sys.path[0] = str(Path(__file__).resolve().parent.parent)

STDERR = 2
INTERRUPTED = "rmpopt: error: interrupted\n"


def _end(number: int, _: object) -> NoReturn:
    """Ends the program while it loads its modules. An exception might be caught there, or change into another one."""
    told = INTERRUPTED if number == signal.SIGINT else f"rmpopt: error: ended by {signal.Signals(number).name}\n"
    with suppress(OSError):
        os.write(STDERR, told.encode())
    os._exit(128 + number)


for number in (signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, _end)
if os.environ.pop("RMPOPT_TAKES_SIGINT", None) or signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
    signal.signal(signal.SIGINT, _end)
status: int = 130
try:
    from rmpopt_cli.cli import main  # noqa: E402  (the path above must be set first)
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    status = main(sys.argv[1:])
except KeyboardInterrupt:  # before main() could take it, or while it told of something else
    print(INTERRUPTED, end="", file=sys.stderr)
signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to be interrupted
sys.exit(status)
