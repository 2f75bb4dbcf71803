# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios: the catalogue is consistent, and the results of boots are judged correctly."""
import contextlib
import io
import re
import subprocess
import unittest
from unittest import mock

from rmpopt_cli.base.catalogue import chosen
from rmpopt_cli.base.errors import GUEST_DIED, OK, TEST_FAILED, VERDICT, BadInput
from rmpopt_cli.base.parallel import stopping
from rmpopt_cli.base.paths import VARIANTS as PATCHES
from rmpopt_cli.guest import tables
from rmpopt_cli.guest.given import Given
from rmpopt_cli.scenarios import runner as scenario
from rmpopt_cli.scenarios.catalogue import PRELUDE, SCENARIOS, SKIPPED, Scenario
from rmpopt_cli.scenarios.runner import Outcome, judge
from tests.system.explore import UNLUCKY
from tests.system.scenarios import MERGED_FLOW, VARIANTS, variant_problem

PLAIN = Scenario("plain", "nothing happens")


def finding(name: str = "lost-optimisation", severity: str = "error") -> dict:
    return {"id": name, "severity": severity, "what": "something", "hint": "a hint", "seconds": 1.5}


def result(findings: tuple[dict, ...] = (), optimised: str = "0-1", passes: int = 2) -> dict:
    regions = [{"gb": 0, "assigned_pages": 0, "optimised_cpus": "0-1"},
               {"gb": 1, "assigned_pages": 0, "optimised_cpus": optimised},
               {"gb": 2, "assigned_pages": 7, "optimised_cpus": ""}]
    return {"outcome": "ok", "message": "", "output": "", "report": "/nowhere", "missing": "",
            "guest": {"siblings": {"0": "0", "1": "1", "2": ""}},
            "plugin": {"regions": regions, "watch": {"pass_count": passes, "findings": list(findings)}}}


class TablesTest(unittest.TestCase):
    def test_names_are_unique(self) -> None:
        names = [s.name for s in SCENARIOS]
        self.assertEqual(len(names), len(set(names)))

    def test_scripts_are_shell(self) -> None:
        for s in SCENARIOS:
            checked = subprocess.run(["sh", "-n"], input=PRELUDE + s.script, text=True, capture_output=True)
            self.assertEqual(checked.returncode, 0, f"{s.name}: {checked.stderr}")

    def test_variants_name_scenarios_that_exist(self) -> None:
        for variant in VARIANTS:
            self.assertIn(variant.scenario, [s.name for s in SCENARIOS])

    def test_each_mistake_has_a_patch_and_a_row(self) -> None:
        patches = "\n".join(p.read_text() for p in PATCHES.glob("*.patch"))
        made = set(re.findall(r'^\+.*rmpopt_mistake\("([a-z-]+)"\)', patches, re.M))
        asked_for = {mistake for variant in (*VARIANTS, *UNLUCKY)
                     for mistake in variant.mistakes.split(",")} | {MERGED_FLOW}
        self.assertEqual(asked_for - made, set())
        self.assertEqual(made - asked_for, set())


class JudgeTest(unittest.TestCase):
    def judge(self, shown: dict, status: int = OK, dmesg: str = "", of: Scenario = PLAIN) -> tuple[str, str]:
        return judge(of, status, shown, dmesg)

    def test_nothing_wrong(self) -> None:
        self.assertEqual(self.judge(result()), ("pass", ""))

    def test_finding(self) -> None:
        verdict, detail = self.judge(result((finding(), finding("host-write"))))
        self.assertEqual((verdict, detail), ("fail", "lost-optimisation: something (and 1 more)"))

    def test_warning_fails_a_note_does_not(self) -> None:
        self.assertEqual(self.judge(result((finding("useless-pass", "warning"),)))[0], "fail")
        self.assertEqual(self.judge(result((finding("rmpopt-unused", "note"),)))[0], "pass")

    def test_finding_that_is_in_order(self) -> None:
        patient = Scenario("patient", "", allowed=("useless-pass",))
        self.assertEqual(self.judge(result((finding("useless-pass", "warning"),)), of=patient)[0], "pass")

    def test_region_without_bit(self) -> None:
        verdict, detail = self.judge(result(optimised="0"))
        self.assertEqual(verdict, "fail")
        self.assertIn("GiB 1", detail)
        self.assertEqual(self.judge(result(optimised="0"), of=Scenario("s", "", complete=False))[0], "pass")

    def test_offline_cpus_need_no_bit(self) -> None:
        shown = result()
        self.assertEqual(tables.not_optimised(shown["plugin"], tables.online(shown["guest"])), {})

    def test_kernel_without_rmpopt(self) -> None:
        self.assertEqual(self.judge(result(passes=0, optimised=""))[0], "skip")
        self.assertEqual(self.judge(result((finding("pages-leaked"),), passes=0))[0], "fail")
        self.assertEqual(self.judge(result(passes=0), of=Scenario("s", "", rmpopt=False))[0], "pass")

    def test_what_is_required_is_not_skipped(self) -> None:
        shown = {**result(passes=0), "missing": "required, but missing: RMPOPT", "output": "# SKIP no such thing\n"}
        for status in (OK, SKIPPED, VERDICT):
            incomplete = Scenario("s", "", complete=False)
            self.assertEqual(self.judge(shown, status, of=incomplete), ("fail", shown["missing"]))
        self.assertEqual(self.judge({**shown, "outcome": "panic", "message": "panic"}, GUEST_DIED), ("fail", "panic"))

    def test_script_skips(self) -> None:
        shown = {**result(), "output": "# SKIP no such thing\n"}
        self.assertEqual(self.judge(shown, SKIPPED), ("skip", "no such thing"))

    def test_script_fails(self) -> None:
        shown = {**result(), "outcome": "guest-exit", "message": "status 1", "output": "a\nBail out! b\n"}
        self.assertEqual(self.judge(shown, 1), ("fail", "status 1: Bail out! b"))

    def test_tables_may_differ_when_snp_has_been_shut_down(self) -> None:
        shown = {**result(optimised=""), "outcome": "verdict", "message": "kernel and plugin disagree"}
        self.assertEqual(self.judge(shown, VERDICT)[0], "fail")
        self.assertEqual(self.judge(shown, VERDICT, of=Scenario("s", "", complete=False))[0], "pass")

    def test_guest_dies(self) -> None:
        shown = {**result(), "outcome": "panic", "message": "the guest kernel panicked: x", "plugin": None}
        self.assertEqual(self.judge(shown, GUEST_DIED), ("fail", "the guest kernel panicked: x"))

    def test_kernel_complains(self) -> None:
        verdict, detail = self.judge(result(), dmesg="[ 1.0] fine\n[ 2.0] WARNING: CPU: 1 at x\n")
        self.assertEqual(verdict, "fail")
        self.assertIn("WARNING: CPU: 1 at x", detail)

    def test_no_watch(self) -> None:
        self.assertEqual(self.judge({**result(), "plugin": None})[0], "fail")


class RunTest(unittest.TestCase):
    def run_with(self, verdicts: dict[str, str], as_json: bool = False) -> tuple[int, str]:
        def perform(s: Scenario, *_: object) -> Outcome:
            verdict = verdicts.get(s.name, "pass")
            return Outcome(s.name, verdict, "" if verdict == "pass" else "why", findings=[])
        out = io.StringIO()
        with mock.patch.object(scenario, "perform", perform), contextlib.redirect_stdout(out):
            return scenario.run(chosen(SCENARIOS, ["boot", "guest"], "scenario"), Given(), 1, as_json), out.getvalue()

    def test_ktap(self) -> None:
        status, text = self.run_with({"guest": "skip"})
        self.assertEqual(status, OK)
        self.assertEqual(text.splitlines(), ["KTAP version 1", "1..2", "ok 1 boot", "ok 2 guest # SKIP why",
                                             "# pass:1 fail:0 skip:1"])

    def test_stopped(self) -> None:
        """Whoever reads the KTAP sees that it is not all."""
        for stop in (KeyboardInterrupt, SystemExit):
            out = io.StringIO()
            with mock.patch.object(scenario, "perform", side_effect=[Outcome("boot", "pass"), stop]), \
                    contextlib.redirect_stdout(out), self.assertRaises(stop) as caught:
                scenario.run(chosen(SCENARIOS, ["boot", "guest"], "scenario"), Given(), 1, False)
            stopping.clear()
            self.assertEqual(out.getvalue().splitlines()[-1], "Bail out! stopped after 1 of 2 scenarios")
            if stop is KeyboardInterrupt:
                self.assertEqual(str(caught.exception), "the next run begins with the first scenario")

    def test_a_failure_is_the_status(self) -> None:
        status, text = self.run_with({"boot": "fail"})
        self.assertEqual(status, TEST_FAILED)
        self.assertIn("not ok 1 boot # why", text)

    def test_unknown_name(self) -> None:
        with self.assertRaisesRegex(BadInput, "no scenario 'x'"):
            chosen(SCENARIOS, ["boot", "x"], "scenario")

    def test_what_the_user_gives_wins(self) -> None:
        [again] = chosen(SCENARIOS, ["initialise-again-fully"], "scenario")
        told = scenario.request(again, Given({"append": "extra=1"}, {"memory": 8 << 30, "policies": ["oow=gp"]}))
        self.assertEqual((told.machine.memory, told.machine.smp), (8 << 30, again.smp))
        self.assertEqual(told.append, f"{again.append} extra=1")
        self.assertEqual(told.machine.policies, [*again.policies, "oow=gp"])
        self.assertEqual([path.name for path in told.files], ["snp-guest", "snp-lifecycle"])

    def test_what_a_scenario_lacks_is_not_required(self) -> None:
        given = Given({"require": ["snp", "rmpopt"]})
        left = {s.name: scenario.request(s, given).require for s in SCENARIOS}
        self.assertEqual((left["boot"], left["shut-down"], left["boot-contiguous"], left["boot-no-smt"]),
                         (["snp", "rmpopt"], ["rmpopt"], ["snp"], []))

    def test_a_boot_that_can_not_be(self) -> None:
        with mock.patch.object(scenario.linux, "boot", side_effect=BadInput("no such kernel")):
            self.assertEqual(scenario.perform(PLAIN, Given()).detail, "no such kernel")

    def test_variant(self) -> None:
        seen = Outcome("boot", "fail", findings=[finding("dirty-rmp")])
        with mock.patch.object(scenario, "perform", lambda *_: seen):
            wanted = next(v for v in VARIANTS if v.findings == ("dirty-rmp",))
            self.assertIsNone(variant_problem(wanted))
            other = next(v for v in VARIANTS if v.findings == ("host-write",))
            self.assertIn("no host-write but dirty-rmp", variant_problem(other) or "")


if __name__ == "__main__":
    unittest.main()
