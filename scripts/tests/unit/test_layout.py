# SPDX-License-Identifier: GPL-2.0-or-later
"""Verdicts of `setup --check` on the private facts of QEMU."""
import unittest
from unittest import mock

from rmpopt_cli.base.errors import Failure
from rmpopt_cli.provision import check, layout
from rmpopt_cli.provision.layout import Fact
from rmpopt_cli.provision.qemu import Qemu


def _fact(state: str, needed: bool = True, problem: str = "") -> Fact:
    return Fact("thing", "it is used", needed, state, problem)


class Verdicts(unittest.TestCase):
    def test_fact_that_holds_says_why_it_is_needed(self) -> None:
        verdict = check._fact(_fact("ok"))
        self.assertEqual((verdict.name, verdict.ok, verdict.detail), ("QEMU: thing", True, "it is used"))

    def test_needed_fact_that_does_not_hold_fails_the_check(self) -> None:
        verdict = check._fact(_fact("not ok", problem="it is elsewhere"))
        self.assertEqual((verdict.ok, verdict.detail), (False, "it is elsewhere"))
        self.assertIn("QEMU 11.1", verdict.hint)

    def test_fact_that_was_not_tried_fails_the_check(self) -> None:
        verdict = check._fact(_fact("not tried"))
        self.assertEqual((verdict.ok, verdict.detail, verdict.hint), (False, "not tried", ""))

    def test_without_another_fact_something_is_switched_off(self) -> None:
        verdict = check._fact(_fact("not ok", needed=False, problem="it is elsewhere"))
        self.assertEqual((verdict.ok, verdict.detail), (True, "switched off: it is elsewhere"))

    def test_without_qemu_nothing_is_tried(self) -> None:
        self.assertEqual([verdict.ok for verdict in check._facts(None)], [False])


class Probe(unittest.TestCase):
    def test_qemu_that_writes_no_result_is_a_failure_with_its_last_line(self) -> None:
        with mock.patch.object(layout, "output", return_value=(1, "", "first\nno such CPU\n")), \
                self.assertRaisesRegex(Failure, "no such CPU"):
            layout.probe(Qemu(("/bin/false",), None, "given"))


if __name__ == "__main__":
    unittest.main()
