# SPDX-License-Identifier: GPL-2.0-or-later
"""The check of re-optimisation fails when it should."""
import unittest

from ..system.reoptimise import problem

CPUS = frozenset({0, 1})


def shown(name: str, uptime: float, *rows: str) -> str:
    return f"== {name} {uptime}\n" + "".join(f"Memory @ {gb:2}GB: CPU(s): {cpus}\n" for gb, cpus in enumerate(rows))


def story(**changes: str) -> str:
    parts = {"before": shown("before", 15, "0-1", "0-1", "none"), "during": shown("during", 40, "none", "0-1", "none"),
             "ended": shown("ended", 80, "none", "0-1", "none"), "waiting": shown("waiting", 88, "none", "0-1", "none"),
             "after": shown("after", 94, "0-1", "0-1", "none")}
    return "".join({**parts, **changes}.values())


class ReoptimiseTest(unittest.TestCase):
    def check(self, text: str, *starts: float) -> str:
        return problem(text, [{"start": start} for start in starts], CPUS) or ""

    def test_all_is_well(self) -> None:
        self.assertEqual(self.check(story(), 2.0, 12.0, 90.1), "")

    def test_story_cut_short(self) -> None:
        self.assertIn("showed only before, during", self.check(story(ended="", waiting="", after=""), 90))

    def test_bits_that_do_not_fall(self) -> None:
        during = shown("during", 40, "0-1", "0-1", "none")
        self.assertIn("no region of [0, 1] reads none", self.check(story(during=during), 90))

    def test_bits_that_come_back_too_early(self) -> None:
        waiting = shown("waiting", 88, "0-1", "0-1", "none")
        self.assertIn("regions [0] are optimised before", self.check(story(waiting=waiting), 90))

    def test_bits_that_do_not_come_back(self) -> None:
        for row in ("none", "0"):
            after = shown("after", 94, row, "0-1", "none")
            self.assertIn("regions [0] are not optimised again", self.check(story(after=after), 90))

    def test_number_and_time_of_passes(self) -> None:
        self.assertIn("0 passes", self.check(story(), 2.0, 12.0))
        self.assertIn("2 passes", self.check(story(), 90, 92))
        self.assertIn("the pass came 5.0 s", self.check(story(), 85))


if __name__ == "__main__":
    unittest.main()
