# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said of RMPOPT comes from the plugin's report and not from the kernel's words."""
import unittest

from rmpopt_cli.guest import rmpopt_use, view

SAYS_SO = ["SEV-SNP: RMPOPT optimizations enabled"]


def report(executed: int = 0, enabled: str = "", optimised: int = 0, passes: int | None = None) -> dict:
    regions = [{"gb": gb, "optimised_cpus": "0-3" if gb < optimised else ""} for gb in range(8)]
    return {"rmpopt_possible": True, "counters": {"rmpopt_scans": executed // 2, "rmpopt_cached": executed // 2},
            "rmpopt_cpus": enabled, "regions": regions, "watch": None if passes is None else {"pass_count": passes}}


class RmpoptUseTest(unittest.TestCase):
    def of(self, words: list[str], **seen: object) -> str:
        use = rmpopt_use.of(report(**seen), words, frozenset(range(4)))  # type: ignore[arg-type]
        assert use
        return f"[ {use.mark} ] {use.text}"

    def test_used(self) -> None:
        for words in ([], SAYS_SO):
            self.assertEqual(self.of(words, executed=16, enabled="0-3", optimised=6, passes=1),
                             "[ ok ] executed 16 times in 1 pass; 6 of 8 regions optimised on all cores")
        self.assertEqual(self.of([], executed=16), "[ ok ] executed 16 times; 0 of 8 regions optimised on all cores")

    def test_not_used_whatever_the_kernel_says(self) -> None:
        self.assertEqual(self.of(SAYS_SO), "[ !! ] not enabled on any core, whatever the kernel says of it")
        self.assertEqual(self.of([]), "[ -- ] not enabled on any core")

    def test_a_kernel_that_waits(self) -> None:
        for words in ([], SAYS_SO):
            self.assertRegex(self.of(words, enabled="0-1", passes=0),
                             r"^\[ -- \] enabled on CPUs 0-1, but not executed")

    def test_a_kernel_that_makes_no_pass_for_long(self) -> None:
        use = rmpopt_use.of(report(enabled="0-1", passes=0), SAYS_SO, frozenset(), awaited=True)
        self.assertRegex(use.text if use else "", "no pass within 15 s")

    def test_a_machine_without_rmpopt(self) -> None:
        for none in (None, {}, {"rmpopt_possible": False}):
            self.assertIsNone(rmpopt_use.of(none, SAYS_SO, frozenset()))

    def test_what_only_read_the_table_is_told_apart(self) -> None:
        counters = {"rmpopt": 240, "rmpopt_set": 180, "rmpopt_scans": 10, "rmpopt_cached": 6, "psmash": 0}
        self.assertEqual(view.counts(counters), "rmpopt 240 (224 only read the table), rmpopt_set 180, psmash 0")
        self.assertEqual(view.counts({"rmpopt": 0, "psmash": 1}), "rmpopt 0, psmash 1")


if __name__ == "__main__":
    unittest.main()
