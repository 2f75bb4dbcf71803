# SPDX-License-Identifier: GPL-2.0-or-later
"""Which tests run, and what the closing lines say of one that failed."""
import contextlib
import io
import json
import unittest
from unittest import mock

from rmpopt_cli import cli
from rmpopt_cli.base.errors import OK, SETUP_FAILED, USAGE
from rmpopt_cli.provision import setup
from tests.system import runner
from tests.system.runner import what_failed


class ChosenTest(unittest.TestCase):
    def run_all(self, *words: str) -> tuple[int, str, str]:
        """With tests whose names are known, and a build that must not begin."""
        out, told = io.StringIO(), io.StringIO()
        with mock.patch.object(setup, "for_list_of_tests"), \
                mock.patch.object(setup, "for_tests", side_effect=OSError), \
                mock.patch.object(runner, "meson_tests", lambda: [("meson/plugin", lambda: None)]), \
                contextlib.redirect_stdout(out), contextlib.redirect_stderr(told):
            return cli.main(["test", *words]), out.getvalue(), told.getvalue()

    def test_a_pattern_that_no_name_has(self) -> None:
        for pattern, says in (("nosuchpattern", r"in its name: 'test --list'"), ("sedes", "'same seed, same run'"),
                              ("meson/plugn", "there is 'meson/plugin'"), ("scripts/x", "no test has that")):
            status, _, told = self.run_all(pattern)
            self.assertEqual(status, USAGE, told)
            self.assertRegex(told, f"^rmpopt: error: test {pattern}: no test has that in its name.*\n$")
            self.assertRegex(told, says)

    def test_list(self) -> None:
        self.assertEqual(self.run_all("--list", "meson/"), (OK, "meson/plugin\n", ""))
        status, out, _ = self.run_all("--list", "--json")
        self.assertLessEqual({"meson/plugin", "scripts/test_runner", "same seed, same run"},
                             {*json.loads(out)["tests"]})
        self.assertEqual(self.run_all("--list", "--kernels")[0], USAGE)

    def test_what_is_chosen_is_built(self) -> None:
        self.assertEqual(self.run_all("meson/plugin")[0], SETUP_FAILED)


class WhatFailed(unittest.TestCase):
    def test_googletest_is_shown_by_the_names_of_its_tests_each_once(self) -> None:
        self.assertEqual(what_failed("[       OK ] a.z (1 ms)\nx.cc:3: Failure\n[  FAILED  ] a.b (12 ms)\n"
                                     "[  FAILED  ] 1 test, listed below:\n[  FAILED  ] a.b\n\n 1 FAILED TEST\n"),
                         "[  FAILED  ] a.b; [  FAILED  ] 1 test, listed below:")

    def test_no_more_than_three_are_shown(self) -> None:
        self.assertEqual(what_failed("".join(f"not ok {n} - t (of 5)\n" for n in range(1, 6))),
                         "not ok 1 - t (of 5); not ok 2 - t (of 5); not ok 3 - t (of 5)")

    def test_our_own_complaint_is_preferred_to_the_last_line(self) -> None:
        self.assertEqual(what_failed("rmpopt: error: no\nmore\n"), "rmpopt: error: no")

    def test_other_programs_are_shown_by_their_last_line(self) -> None:
        self.assertEqual(what_failed("one\n two \n\n"), "two")


if __name__ == "__main__":
    unittest.main()
