# SPDX-License-Identifier: GPL-2.0-or-later
"""What the closing lines say of a test that failed."""
import unittest

from tests.system.runner import what_failed


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
