# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs of the command line, and how the program ends."""
import argparse
import signal

from .base.console import error
from .base.errors import SETUP_FAILED, SIGNALLED, Failure
from .commands import boot, compare, ctl, experiment, explore, kernel, policies, report, run, scenario, setup, test, top

VERBS = (setup, kernel, boot, run, scenario, explore, experiment, ctl, top, report, compare, policies, test)

STATUS_HELP = """\
exit status: 0 success; 1 a test failed; 2 bad input; 121 guest died; 122 QEMU failed;
123 the guest ran but failed a check; 124 timeout; 125 rmpopt itself failed.
"boot -- COMMAND" returns the status of COMMAND."""

def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="rmpopt", epilog=STATUS_HELP,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description="AMD SEV-SNP's RMP and RMPOPT on a stock QEMU.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for verb in VERBS:
        verb.add(commands)
    return top


def _stop(number: int, _frame: object) -> None:
    """Unwinds the stack, so that QEMU and compilers are ended as well."""
    raise SystemExit(SIGNALLED + number)


def main(words: list[str]) -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        arguments = parser().parse_args(words)
        return arguments.action(arguments)
    except Failure as problem:
        error(str(problem))
        return problem.status
    except KeyboardInterrupt:
        error("interrupted; the next run goes on from here")
        return SIGNALLED + signal.SIGINT
    except BrokenPipeError:
        return SETUP_FAILED
