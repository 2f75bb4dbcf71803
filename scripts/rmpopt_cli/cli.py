# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs of the command line, and how the program ends."""
import argparse
import contextlib
import errno
import json
import os
import signal
import sys
from typing import NoReturn

from .base.console import STDOUT, drop_output, error, named_stdout, nothing_printed
from .base.errors import OUTCOMES, SETUP_FAILED, SIGNALLED, USAGE, Ended, Failure
from .base.parser import Parser
from .base.paths import cache_root
from .commands import (boot, compare, console, ctl, experiment, explore, guest, kernel, policies, qemu, report, run,
                       scenario, setup, test, top, vng)

VERBS = (setup, kernel, boot, guest, run, scenario, explore, experiment, ctl, top, console, report, compare, vng, qemu,
         policies, test)

STATUS_HELP = """\
exit status: 0 success; 1 a test failed; 2 bad input; 121 guest died; 122 QEMU failed;
123 the guest ran but failed a check; 124 timeout; 125 rmpopt itself failed.
"boot -- COMMAND" returns the status of COMMAND."""


def parser() -> Parser:
    top = Parser(prog="rmpopt", epilog=STATUS_HELP, formatter_class=argparse.RawDescriptionHelpFormatter,
                 description="AMD SEV-SNP's RMP and RMPOPT on a stock QEMU.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for verb in VERBS:
        verb.add(commands)
    return top


def _stop(number: int, _frame: object) -> NoReturn:
    raise Ended(number)


def _ensure_streams() -> None:
    """Files that we open later must not take the numbers of streams that we were started without."""
    for number in (0, 2):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)
    if sys.stdout is None:
        raise Failure("stdout is closed: send it to /dev/null if you do not want it")
    if sys.stdout is sys.__stdout__:
        sys.stdout = named_stdout()


def _explained(problem: OSError) -> str:
    what = f"{problem.filename}: " if problem.filename else ""
    if problem.errno == errno.EPIPE:
        return "the reader of our output has ended: results are incomplete"
    if problem.filename == STDOUT:
        return f"{what}{problem.strerror}: results are incomplete"
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{what}{problem.strerror}: make room there; the cache is in {cache_root()}, RMPOPT_CACHE moves it"
    return f"{what}{problem.strerror}"


def _as_json(words: list[str], status: int, message: str) -> None:
    """Why a command failed, if it should print JSON and has printed none."""
    own = words[:words.index("--")] if "--" in words else words
    outcome = "interrupted" if status > SIGNALLED else OUTCOMES.get(status, "failed")
    with contextlib.suppress(OSError):
        if "--json" in own and nothing_printed():
            print(json.dumps({"schema": 1, "outcome": outcome, "status": status, "message": message}, indent=1),
                  flush=True)


def _fail(words: list[str], status: int, message: str) -> int:
    error(message)
    _as_json(words, status, message)
    return status


def main(words: list[str]) -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as it is below nohup
            signal.signal(number, _stop)
    try:
        _ensure_streams()
        arguments = parser().parse_args(words)
        status = arguments.action(arguments)
        sys.stdout.flush()
        return status
    except Failure as problem:
        return _fail(words, problem.status, str(problem))
    except Ended as ended:
        return _fail(words, SIGNALLED + ended.number, f"ended by {signal.Signals(ended.number).name}")
    except SystemExit as problem:  # of argparse
        if problem.code == USAGE:
            _as_json(words, USAGE, "wrong options: see stderr")
        raise
    except KeyboardInterrupt as problem:
        return _fail(words, SIGNALLED + signal.SIGINT, ": ".join(["interrupted", *filter(None, [str(problem)])]))
    except OSError as problem:
        _fail(words, SETUP_FAILED, _explained(problem))
        drop_output()
        return SETUP_FAILED
