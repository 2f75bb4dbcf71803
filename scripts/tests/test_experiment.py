# SPDX-License-Identifier: GPL-2.0-or-later
"""The standard experiments without boots: scripts, tables, pictures, bad input."""
import contextlib
import io
import json
import subprocess
import tempfile
import unittest
import xml.dom.minidom
from pathlib import Path
from unittest import mock

from rmpopt_cli import cli, experiment
from rmpopt_cli.errors import BadInput, Failure
from rmpopt_cli.experiment_tables import human, picture, spread
from rmpopt_cli.experiments import EXPERIMENTS, find, script


def row(case: str, phase: str, run: int, rate: float | None) -> dict:
    return {"case": case, "phase": phase, "run": run, "store_rate": rate, "fill_rate": None,
            "rmpopt": {"executed": 16, "optimised": 12, "scans": 4, "cached": 12, "scanned_2m": 994, "cycles": 11496}}


ROWS = [row("off", "files", 1, 0.0), row("on", "files", 1, 0.5), row("on", "files", 2, 0.7), row("on", "<odd>", 1, None)]


class Tables(unittest.TestCase):
    def test_spread(self) -> None:
        mean, least, greatest = spread(ROWS, "on", "files", "store_rate") or (0, 0, 0)
        self.assertAlmostEqual(mean, 0.6)
        self.assertEqual((least, greatest), (0.5, 0.7))
        self.assertIsNone(spread(ROWS, "on", "<odd>", "store_rate"))

    def test_human(self) -> None:
        text = human(EXPERIMENTS[-1], ROWS)
        self.assertIn("60.0 % (50.0-70.0)", text)
        self.assertIn("0.0 %", text)
        self.assertNotIn("per TLB fill", text)  # nothing was modelled

    def test_work(self) -> None:
        self.assertIn("11,496", human(EXPERIMENTS[0], ROWS))

    def test_picture_is_well_formed(self) -> None:
        picture_text = picture(EXPERIMENTS[-1], ROWS)
        self.assertEqual(len(xml.dom.minidom.parseString(picture_text).getElementsByTagName("title")), 2)


class Scripts(unittest.TestCase):
    def test_shell_understands_them(self) -> None:
        for one in EXPERIMENTS:
            for case in one.cases:
                with self.subTest(f"{one.name} {case.name}"):
                    subprocess.run(["sh", "-n"], input=script(one, case, "exact"), text=True, check=True)

    def test_only(self) -> None:
        one = find("workloads")
        assert one
        text = script(one, one.cases[0], "sampled=100", only=("forks",))
        self.assertIn("work forks", text)
        self.assertNotIn("work files", text)
        self.assertIn("rmpopt-mark --on 100", text)

    def test_what_is_measured_from_the_start_pauses_before_guests_are_placed(self) -> None:
        one = find("workloads")
        assert one
        text = script(one, one.cases[-1], "exact+tlb").splitlines()
        self.assertLess(text.index("rmpopt-mark ''; rmpopt-mark --off"), text.index("rmpopt-mark --on tlb"))


class Command(unittest.TestCase):
    def call(self, *words: str) -> tuple[int, str, str]:
        out, problems = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(problems):
            status = cli.main(["experiment", *words])
        return status, out.getvalue(), problems.getvalue()

    def test_list(self) -> None:
        status, out, _ = self.call("list")
        self.assertEqual(status, 0)
        self.assertIn("workloads", out)
        self.assertEqual(len(json.loads(self.call("list", "--json")[1])["experiments"]), len(EXPERIMENTS))

    def test_bad_words(self) -> None:
        for words, expected in ((["nonsense"], "no experiment 'nonsense'"), (["churn", "--repeat", "0"], "--repeat"),
                                (["churn", "--measure", "off"], "--measure"),
                                (["churn", "--tlb", "zen9"], "--tlb zen9")):
            status, _, problems = self.call(*words)
            self.assertEqual(status, 2)
            self.assertIn(expected, problems)
            self.assertEqual(len(problems.splitlines()), 1)

    def test_bad_case(self) -> None:
        with tempfile.TemporaryDirectory(prefix="rmpopt-test-") as directory, self.assertRaises(BadInput) as caught:
            experiment.perform(EXPERIMENTS[2], experiment.Settings(cases=("x",)), Path(directory))
        self.assertIn("'guest after guest'", str(caught.exception))

    def test_a_boot_that_fails_is_named(self) -> None:
        with tempfile.TemporaryDirectory(prefix="rmpopt-test-") as directory, \
                mock.patch.object(experiment, "output", return_value=(1, "", "snp-guest place: no memory")), \
                contextlib.redirect_stderr(io.StringIO()), self.assertRaises(Failure) as caught:
            experiment.perform(EXPERIMENTS[2], experiment.Settings(), Path(directory))
        self.assertIn("experiment churn, no guests: the boot ended with status 1", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
