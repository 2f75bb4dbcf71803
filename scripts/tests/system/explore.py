# SPDX-License-Identifier: GPL-2.0-or-later
"""Searches find the mistakes that only an unlucky schedule shows, and replay them.

A new one is one more `if` in the patches of guest-tests/linux/variants and a row in UNLUCKY.
"""
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rmpopt_cli.explore import points, search
from rmpopt_cli.guest.given import Given
from rmpopt_cli.scenarios.catalogue import X86_SHUTDOWN, Scenario
from .command import Checks, scratch
from .report import deviations

MOST_SEEDS = 300
REPLAYS = 3
LONGEST = 40_000_000  # nanoseconds of a stall
QUIET = 40  # seconds, so that the watch's bound is over


@dataclass(frozen=True)
class Unlucky:
    """A mistake of the kernel of variants that needs a CPU to stall at a bad moment."""
    mistakes: str  # as in rmpopt.mistake=
    script: str
    finding: str
    first: int  # seed from which on the search begins, so that the test is short
    policies: tuple[str, ...] = ()  # of the machine

    @property
    def name(self) -> str:
        return self.mistakes.rpartition(",")[2]


UNLUCKY = (
    Unlucky("quick,no-recheck,flag-cleared-late",
            "background hold 256K 2; sleep 0.025; background hold 256K 2; await; sleep 0.02", "lost-optimisation", 145),
    Unlucky("quick,no-recheck,first-exit,armed-early",
            "background hold 256K 2; sleep 0.012; background hold 256K 2; await; sleep 0.02", "lost-optimisation", 158),
    Unlucky("quick,no-recheck,pass-outlives-stop",
            "background hold 256K 1; sleep 1.05; unbind_psp; await", "rmpopt-after-shutdown", 1, X86_SHUTDOWN),
    Unlucky("quick,no-recheck,mask-read-twice",
            "offline 3; background hold 256K 1; sleep 1.045; offline 2; await", "lost-optimisation", 232),
)


def _search(unlucky: Unlucky, output: Path) -> search.Search:
    scenario = Scenario(unlucky.name, "", unlucky.script, guests=True, rmpopt=False, complete=False, quiet=QUIET,
                        allowed=("useless-pass",))  # passes are dense here
    given = Given({"kernel": "variants", "append": f"rmpopt.mistake={unlucky.mistakes}"},
                  {"policies": unlucky.policies})
    return search.Search(scenario, given, [], list(range(unlucky.first, MOST_SEEDS + 1)), output, at=["*rmpopt*"],
                         longest=LONGEST, minimise=True, until=unlucky.finding)


def _problem(unlucky: Unlucky) -> str | None:
    """The run without stalls must pass; one with stalls is found, has few of them, and fails alike each time."""
    with scratch() as directory:
        wanted = _search(unlucky, Path(directory))
        failed = [run for run in search.explore(wanted, lambda _: None) if run.failed]
        found = [run for run in failed if run.finding == unlucky.finding]
        if not found:
            return f"not {unlucky.finding} but {', '.join(run.finding for run in failed) or 'nothing'} was found"
        fewer = [points.parse(text) for text in found[0].minimised or []]
        if not 1 <= len(fewer) <= 3:
            return f"the minimised run has {len(fewer)} perturbations"
        told: list[str] = []
        search.replay(wanted, fewer, REPLAYS, told.append)
        alike = sum(f"fail: {unlucky.finding}" in line for line in told)
        if alike == REPLAYS:
            return deviations(wanted.output / "replay-1")
        return f"seed {found[0].seed}: {alike} of {REPLAYS} replays fail alike: {told}"


def tests() -> Checks:
    return [(f"explore/{unlucky.name}", partial(_problem, unlucky)) for unlucky in UNLUCKY]
