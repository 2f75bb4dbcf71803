# SPDX-License-Identifier: GPL-2.0-or-later
"""Exit statuses, and the exceptions that end the program with one line.

Our own statuses start at 121, because commands in the guest rarely return such numbers. The outcome word in
result.json always tells the two apart.
"""
from collections.abc import Iterator
from contextlib import contextmanager

OK = 0
TEST_FAILED = 1      # a bare-metal test or the test suite reported a failure
USAGE = 2            # bad input: nothing was started
GUEST_DIED = 121     # kernel panic, triple fault, power-off before the work was done
QEMU_FAILED = 122    # QEMU refused to start, crashed or was killed
VERDICT = 123        # the guest ran, but what it showed is wrong or missing
TIMEOUT = 124        # the guest did not finish in time
SETUP_FAILED = 125   # set-up, build or another part of rmpopt itself failed
SIGNALLED = 128      # plus the number of the signal that ended us
# Of a command that fails before it has a result.
OUTCOMES = {USAGE: "bad-input", QEMU_FAILED: "qemu-failed", TIMEOUT: "timeout", SETUP_FAILED: "setup-failed"}


class Ended(SystemExit):
    """A signal ends the program. It unwinds the stack, so that QEMU and compilers are ended as well."""

    def __init__(self, number: int) -> None:
        super().__init__(SIGNALLED + number)
        self.number = number


class Failure(Exception):
    """Ends the program with one line that says what is wrong and what to do."""

    def __init__(self, message: str, status: int = SETUP_FAILED) -> None:
        super().__init__(message)
        self.status = status


class BadInput(Failure):
    """Something that the user gave cannot be used."""

    def __init__(self, message: str) -> None:
        super().__init__(message, USAGE)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with what that means for the work and for the next run."""


@contextmanager
def interrupted_means(what: str) -> Iterator[None]:
    """Says it if the user interrupts this part of the work. What is said around it replaces it."""
    try:
        yield
    except KeyboardInterrupt as problem:
        raise Interrupted(what) from problem


resumed = interrupted_means("the next run goes on from here")  # decorates what makes entries of the cache
