# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios as tests: the reference kernel passes all of them, the kernel of variants is caught at each mistake."""
from functools import partial

from rmpopt_cli.guest.given import Given
from rmpopt_cli.scenarios import runner as scenario
from rmpopt_cli.scenarios.catalogue import SCENARIOS, VARIANTS, Scenario
from .command import Checks


def _check(chosen: Scenario) -> str | None:
    outcome = scenario.perform(chosen, Given())
    return None if outcome.verdict == "pass" else f"{outcome.verdict}: {outcome.detail} (logs: {outcome.report})"


def tests() -> Checks:
    return [(f"scenario/{chosen.name}", partial(_check, chosen)) for chosen in SCENARIOS]


def variant_tests() -> Checks:
    return [(f"watch/variant {' '.join((variant.mistakes, *variant.policies))}",
             partial(scenario.variant_problem, variant)) for variant in VARIANTS]
