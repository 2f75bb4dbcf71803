# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios as tests: the reference kernel passes all of them, the kernel of variants is caught at each mistake."""
import functools

from rmpopt_cli.guest.given import Given
from rmpopt_cli.scenarios import runner as scenario
from rmpopt_cli.scenarios.catalogue import SCENARIOS, VARIANTS, Scenario
from .suites import Check, Checks


def _scenario_check(chosen: Scenario) -> Check:
    def call() -> str | None:
        outcome = scenario.perform(chosen, Given())
        return None if outcome.verdict == "pass" else f"{outcome.verdict}: {outcome.detail} (logs: {outcome.report})"
    return call


def scenario_tests() -> Checks:
    return [(f"scenario/{chosen.name}", _scenario_check(chosen)) for chosen in SCENARIOS]


def variant_tests() -> Checks:
    return [(f"watch/variant {' '.join((variant.mistakes, *variant.policies))}",
             functools.partial(scenario.variant_problem, variant)) for variant in VARIANTS]
