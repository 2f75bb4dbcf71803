# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios as tests: the reference kernel must pass all of them, and each mistake of the variants must be found.

A new mistake is one more `if` in the patch of guest-tests/linux/variants and a row in VARIANTS.
"""
from dataclasses import dataclass
from functools import partial

from rmpopt_cli.base.catalogue import chosen
from rmpopt_cli.guest.given import Given
from rmpopt_cli.scenarios import runner
from rmpopt_cli.scenarios.catalogue import SCENARIOS, Scenario
from .command import Checks


@dataclass(frozen=True)
class Variant:
    """One or more mistakes of the kernel of variants, and the findings that they must cause."""
    mistakes: str  # as in rmpopt.mistake=
    scenario: str
    findings: tuple[str, ...]
    says: str = ""  # words that one of the findings must contain
    policies: tuple[str, ...] = ()  # of the machine


VARIANTS = (
    Variant("leader-left-out", "guest", ("lost-optimisation",)),
    Variant("core-without-base", "boot", ("rmpopt-disabled",)),
    Variant("both-siblings", "boot", ("sibling-repeat",)),
    Variant("hotplug-not-set-up", "cpu-off-and-on", ("rmpopt-base-unequal", "lost-optimisation"),
            policies=("init-msr=clear",)),
    Variant("sibling-without-heir", "second-thread-left", ("lost-optimisation",)),
    Variant("no-delay,no-recheck", "guest-slow-exit", ("pass-during-teardown", "lost-optimisation")),
    Variant("first-exit,no-recheck", "guests-last-exit-slow", ("pass-during-teardown",)),
    Variant("no-request,no-recheck", "guest", ("lost-optimisation",)),
    Variant("before-decommission,no-recheck", "guest-slow-exit", ("lost-optimisation",)),
    Variant("no-stop,no-recheck,no-request", "initialise-again", ("lost-optimisation",), "no pass since SNP_INIT"),
    Variant("no-stop", "shut-down-fully", ("rmpopt-after-shutdown",)),
    Variant("useless-passes", "boot", ("useless-pass",)),
    Variant("unequal-bases", "boot", ("rmpopt-base-unequal", "lost-optimisation")),
    Variant("bad-function", "boot", ("rmpopt-refused",)),
    Variant("base-before-snp", "boot", ("msr-refused",)),
    Variant("contiguous-too", "boot-contiguous", ("msr-refused",)),
    Variant("base-before-snp", "boot", ("msr-lost",), policies=("wrmsr-nosnp=ignore",)),
    Variant("dirty-rmp", "boot", ("dirty-rmp",)),
    Variant("unequal-hwcr", "boot", ("msr-unequal",)),
    Variant("rmpupdate-retry", "boot", ("rmp-retry",)),
    Variant("host-write", "boot", ("host-write",)),
    Variant("leaked-page", "guest", ("pages-leaked",)),
    Variant("leaked-context", "guest", ("firmware-pages-left",)),
)


MERGED_FLOW = "merged-flow"  # in rmpopt.mistake=, though it is none: the kernel uses RMPOPT as Linux 7.4 does
# Where it differs: a late first pass, a core that goes twice, no table, an MSR that stays on.
MERGED_FLOW_SCENARIOS = ("boot", "guest", "guests-last-exit", "initialise-again")


def _scenario_problem(scenario: Scenario, given: Given) -> str | None:
    outcome = runner.perform(scenario, given)
    return None if outcome.verdict == "pass" else f"{outcome.verdict}: {outcome.detail} (logs: {outcome.report})"


def variant_problem(variant: Variant) -> str | None:
    """Boots the kernel of variants with the mistake. Returns None if all expected findings came."""
    [scenario] = chosen(SCENARIOS, [variant.scenario], "scenario")
    outcome = runner.perform(scenario, Given({"kernel": "variants", "append": f"rmpopt.mistake={variant.mistakes}"},
                                             {"policies": variant.policies}))
    seen = {finding["id"] for finding in outcome.findings}
    missing = [wanted for wanted in variant.findings if wanted not in seen]
    if not missing and variant.says and not any(variant.says in f["what"] for f in outcome.findings):
        missing = [f"'{variant.says}'"]
    if not missing:
        return None
    return f"no {', '.join(missing)} but {', '.join(sorted(seen)) or 'nothing'} ({outcome.verdict}: {outcome.detail})"


def tests() -> Checks:
    return [(f"scenario/{scenario.name}", partial(_scenario_problem, scenario, Given())) for scenario in SCENARIOS]


def variant_tests() -> Checks:
    merged = Given({"kernel": "variants", "append": f"rmpopt.mistake={MERGED_FLOW}"})
    good = [(f"watch/{MERGED_FLOW} {scenario.name}", partial(_scenario_problem, scenario, merged))
            for scenario in chosen(SCENARIOS, MERGED_FLOW_SCENARIOS, "scenario")]
    return good + [(f"watch/variant {' '.join((each.mistakes, *each.policies))}", partial(variant_problem, each))
                   for each in VARIANTS]
