# SPDX-License-Identifier: GPL-2.0-or-later
"""Experiments: the catalogue is consistent, boots are judged, tables and pictures show the measured values."""
import contextlib
import io
import json
import re
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree as ET
from pathlib import Path
from unittest import mock

from rmpopt_cli.base.catalogue import chosen
from rmpopt_cli.base.errors import OK, TEST_FAILED, USAGE, BadInput, Failure
from rmpopt_cli.base.paths import PROGRAM
from rmpopt_cli.base.shell import output
from rmpopt_cli.experiments import runner as experiment, tables
from rmpopt_cli.experiments.catalogue import BOOT, EMPTY_AGAIN, EMPTY_FIRST, EXPERIMENTS, FULL, PRELUDE, Experiment
from rmpopt_cli.experiments.catalogue import script
from rmpopt_cli.experiments.results import Boot
from rmpopt_cli.experiments.runner import Plan
from rmpopt_cli.guest.given import Given

IOMEM = """00001000-0009fbff : System RAM
000a0000-000fffff : Reserved
00100000-7ffdffff : System RAM
  01000000-01ffffff : Kernel code
7ffe0000-7fffffff : Reserved
100000000-27d5fffff : System RAM
"""


def known(name: str) -> Experiment:
    return chosen(EXPERIMENTS, [name], "experiment")[0]


WORKLOADS = known("workloads")


def phase(name: str, checked: int = 100, skipped: int = 0, **more: object) -> dict:
    return {"name": name, "start": 1.0, "end": 2.0, "rmpupdate": 3, "guests": {"launched": 4, "ended": 4},
            "cells": [[0, 0, "host", "store", checked, skipped, 0], [1, 4, "guest", "store", 7, 7, 7]],
            "rmpopt": {"executed": 90, "optimised": 9, "scans": 4, "cached": 6, "scanned_2m": 1000, "cycles": 1},
            **more}


def result(*phases: dict, executed: int = 9, optimised: str = "0-1", said: str = "", status: int = OK) -> dict:
    regions = [{"gb": 0, "assigned_pages": 0, "optimised_cpus": optimised},
               {"gb": 1, "assigned_pages": 7, "optimised_cpus": ""}]
    measure = {"model": {"rmpopt_base_cycles": 60.0, "rmpopt_entry_cycles": 10.0}, "phases": list(phases)}
    return {"outcome": "guest-exit" if status else "ok", "status": status, "message": "status" if status else "",
            "output": said, "guest": {"release": "7.0", "siblings": {"0": "0", "1": "1"}},
            "plugin": {"regions": regions, "measure": measure, "counters": {"rmpopt": executed}, "snp_enabled": True,
                       "watch": {"passes": [{"start": 0.5}, {"start": 1.5}, {"start": 2.0}]}}}


def boot(shown: dict, of: Experiment = WORKLOADS, setting: str = "on", wanted: tuple[str, ...] = ("files",),
         seed: int = 1) -> Boot:
    taken = Boot(setting, seed, Path("/nowhere"))
    taken.take(shown, of, of.setting(setting), wanted)
    return taken


class ExperimentsTest(unittest.TestCase):
    def test_names_are_unique(self) -> None:
        for names in ([e.name for e in EXPERIMENTS], *([s.name for s in e.settings] for e in EXPERIMENTS)):
            self.assertEqual(len(names), len(set(names)))

    def test_scripts_are_shell(self) -> None:
        for e in EXPERIMENTS:
            for s in e.settings:
                text = script(e, s, e.phases, 1, "--on")
                checked = subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True)
                self.assertEqual(checked.returncode, 0, f"{e.name}, {s.name}: {checked.stderr}")

    def in_shell(self, text: str, seed: int = 1, iomem: str = IOMEM) -> str:
        with tempfile.TemporaryDirectory() as directory:
            Path(directory, "iomem").write_text(iomem)
            prelude = PRELUDE.replace("/proc/iomem", f"{directory}/iomem").replace("rmpopt-mark --off\n", "")
            done = subprocess.run(["sh"], input=f"seed={seed} phases='files forks'\n{prelude}\n{text}", text=True,
                                  capture_output=True)
        return done.stdout.strip()

    def test_regions_with_memory(self) -> None:
        self.assertEqual(self.in_shell("regions").split(), list("0145") + list("6789"))

    def test_part_of_the_regions(self) -> None:
        for seed in range(1, 9):
            self.assertEqual(self.in_shell("some 1 1", seed), "0,1,4,5,6,7,8,9")
            half = [int(gib) for gib in self.in_shell("some 1 2", seed).split(",")]
            self.assertEqual((len(half), half), (4, sorted(set(half))))
            self.assertRegex(self.in_shell("some 1 8", seed), r"^\d$")
        self.assertEqual(self.in_shell("some 1 2", 3), self.in_shell("some 1 2", 3))
        self.assertGreater(len({self.in_shell("some 1 8", seed) for seed in range(1, 9)}), 2)

    def test_wanted_phases(self) -> None:
        self.assertEqual(self.in_shell("wanted files && wanted forks && ! wanted memcpy && ! wanted file && echo yes"),
                         "yes")

    def test_as_many_guests_in_one_region(self) -> None:
        setup = known("spread").setting("one region").setup.replace("place $list", "echo $list")
        self.assertRegex(self.in_shell(setup), r"^(\d)(,\1){7}$")


class BootTest(unittest.TestCase):
    def test_rate_is_the_hosts(self) -> None:
        self.assertEqual(boot(result(phase("files", 60, 40))).rate("files", "store"), 0.4)
        self.assertIsNone(boot(result(phase("files"))).rate("files", "fill"))

    def test_boot_is_the_phase_without_a_name(self) -> None:
        taken = boot(result(phase("", 1, 1), phase("files")), wanted=(BOOT, "files"))
        self.assertEqual((taken.problem, taken.rate(BOOT, "store")), ("", 0.5))
        later = boot(result(phase("", 1, 1), phase("files")), setting="1/8", wanted=(BOOT, "files"))
        self.assertEqual((later.problem, list(later.phases)), ("", ["files"]))

    def test_work_is_that_of_passes(self) -> None:
        shown = result(phase(""), phase(EMPTY_AGAIN), phase(FULL))
        taken = boot(shown, known("passes"), "on", (EMPTY_FIRST, EMPTY_AGAIN, FULL))
        self.assertEqual(taken.problem, "")
        self.assertEqual(taken.work(EMPTY_FIRST), {"passes": 1, "rmpopt": 10, "scans": 4, "scanned_2m": 1000,
                                                   "cycles": 10600, "rmpupdate": 3, "guests": 4})

    def test_where_guests_are(self) -> None:
        self.assertEqual(boot(result(phase("files"), said="# guests in 5,5,1\n")).guests_in, [1, 5])

    def problem(self, *phases: dict, setting: str = "on", **more: object) -> str:
        return boot(result(*phases, **more), setting=setting).problem  # type: ignore[arg-type]

    def test_problems(self) -> None:
        self.assertEqual(self.problem(phase("files"), said="# FAIL no guests in 3\n", status=1), "no guests in 3")
        self.assertEqual(self.problem(phase("files"), said="a\nlast\n", status=1), "status: last")
        self.assertIn("does not use RMPOPT", self.problem(phase("files"), executed=0))
        self.assertIn("on a CPU that lacks it", self.problem(phase("files"), setting="off"))
        self.assertEqual(self.problem(phase("files"), setting="off", executed=0), "")
        self.assertIn("did not measure files", self.problem(phase("forks")))
        self.assertIn("did not measure files", self.problem(phase("files", end=None)))
        self.assertIn("regions 0", self.problem(phase("files"), optimised="0"))
        self.assertEqual(boot(result(phase("files"), optimised="0"), known("churn"), "often").problem, "")
        self.assertIn("nothing was measured", boot({**result(phase("files")), "plugin": None}).problem +
                      boot({**result(phase("files")), "plugin": {**result()["plugin"], "measure": None}}).problem)


def several() -> list[Boot]:
    return [boot(result(phase("files", 100 - n, n)), seed=n) for n in (20, 40, 60)]


class TablesTest(unittest.TestCase):
    def made(self, boots: list[Boot]) -> tables.Table:
        settings = tuple(WORKLOADS.setting(name) for name in ("on", "all"))
        return tables.of(WORKLOADS, boots, ("files", "forks"), settings)[0]

    def test_mean_and_range(self) -> None:
        lines = tables.text(self.made(several())).splitlines()
        self.assertIn("mean of 3 boots", lines[0])
        self.assertRegex(lines[4], r"^\| files \| 40\.0 % \(20\.0–60\.0\) \| +- \|$")
        self.assertRegex(lines[5], r"^\| forks \| +- \| +- \|$")

    def test_failed_boots_do_not_count(self) -> None:
        boots = several()
        boots[2].problem = "killed"
        self.assertEqual(self.made(boots).of("files", "on"), [0.2, 0.4])
        other = boot(result(phase("files")), setting="all")
        self.assertIn("mean of 1 to 2 boots", tables.text(self.made([*boots, other])))
        self.assertIn(", 1 boot\n", tables.text(self.made([other])))
        self.assertEqual(self.made([]).as_json()["cells"], [])

    def test_fills_have_a_table_when_modelled(self) -> None:
        filled = phase("files", cells=[[0, 0, "host", "store", 1, 1, 0], [0, 0, "host", "fill", 1, 3, 0]])
        made = tables.of(WORKLOADS, [boot(result(filled))], ("files",), (WORKLOADS.setting("on"),))
        self.assertEqual([t.mean("files", "on") for t in made], [0.5, 0.75])

    def test_work(self) -> None:
        churn = known("churn")
        boots = [boot(result(phase("files")), churn, name) for name in ("none", "often")]
        work = tables.of(churn, boots, ("files",), (churn.setting("none"), churn.setting("often")))[-1]
        self.assertEqual(work.rows, ["files, none", "files, often"])
        self.assertEqual(work.of("files, often", "2 MB entries"), [1000.0])
        self.assertIn("1,000", tables.text(work))
        self.assertEqual(work.note, "")

    def test_phases_without_a_pass_are_named(self) -> None:
        passes = known("passes")
        shown = result(phase(""), phase(EMPTY_AGAIN, start=3.0, end=4.0), phase(FULL))
        [work] = tables.of(passes, [boot(shown, passes, wanted=(EMPTY_FIRST, EMPTY_AGAIN, FULL))],
                           (EMPTY_FIRST, EMPTY_AGAIN, FULL), passes.settings)
        self.assertTrue(tables.text(work).endswith(f"\n\nThe kernel made no pass in: {EMPTY_AGAIN}.\n"))
        self.assertEqual(work.as_json()["note"], work.note)

    def test_picture(self) -> None:
        drawn = tables.picture(self.made(several()))
        root = ET.fromstring(drawn)
        bars = [e for e in root.iter() if e.tag.endswith("rect") and len(e)]
        self.assertEqual(len(bars), 1)  # nothing was measured elsewhere
        self.assertAlmostEqual(float(bars[0].attrib["height"]), 0.4 * tables.PLOT, places=1)
        self.assertEqual(bars[0][0].text, "files, on: 40.0 %")
        self.assertEqual(len([e for e in root.iter() if e.get("class") == "spread"]), 1)
        self.assertNotIn("http", re.sub('xmlns="[^"]*"', "", drawn))


class RunTest(unittest.TestCase):
    def run_with(self, bad_seed: int, as_json: bool = False) -> tuple[int, str, str, dict]:
        def perform(e: Experiment, s: object, seed: int, plan: Plan) -> Boot:
            taken = boot(result(phase("files", 100 - seed, seed)), e, seed=seed)
            taken.directory = plan.output / f"on.{seed}"
            taken.problem = "killed" if seed == bad_seed else ""
            return taken
        out, told = io.StringIO(), io.StringIO()
        with tempfile.TemporaryDirectory() as directory, mock.patch.object(experiment, "perform", perform), \
                contextlib.redirect_stdout(out), contextlib.redirect_stderr(told):
            plan = Plan(repeat=2, phases=("files",), settings=("on",), output=Path(directory))
            status = experiment.run([WORKLOADS], plan, as_json)
            kept = json.loads(Path(directory, "experiment.json").read_text())
            self.assertTrue(Path(directory, "experiment.svg").is_file())
            self.assertIn("files", Path(directory, "experiment.txt").read_text())
        return status, out.getvalue(), told.getvalue(), kept

    def test_all_is_well(self) -> None:
        status, text, told, kept = self.run_with(0)
        self.assertEqual(status, OK)
        self.assertIn("1.5 % (1.0–2.0)", text)
        self.assertIn("workloads, on, boot 2: files 2.0 %", told)
        self.assertEqual([b["problem"] for b in kept["experiments"][0]["boots"]], ["", ""])

    def test_a_failed_boot_is_named_and_the_rest_kept(self) -> None:
        status, text, told, kept = self.run_with(2)
        self.assertEqual(status, TEST_FAILED)
        self.assertIn("1.0 %", text)
        self.assertIn("rmpopt: error: workloads, on, boot 2: killed (logs:", told)
        self.assertEqual(kept["experiments"][0]["tables"][0]["cells"][0]["values"], [0.01])

    def test_json(self) -> None:
        _, text, _, kept = self.run_with(0, True)
        self.assertEqual(json.loads(text), kept)

    def test_a_boot_that_can_not_be(self) -> None:
        with mock.patch.object(experiment.linux, "boot", side_effect=Failure("no QEMU")):
            taken = experiment.perform(WORKLOADS, WORKLOADS.settings[0], 1, Plan())
        self.assertEqual(taken.problem, "no QEMU")

    def test_request(self) -> None:
        given = Given({"append": "extra=1"}, {"measure": "sampled=50", "smp": "2"})
        told = experiment.request(WORKLOADS, WORKLOADS.setting("off"), 2, Plan(given=given, output=Path("/o")))
        self.assertEqual((told.append, told.machine.rmpopt), ("extra=1", "off"))
        on = experiment.request(WORKLOADS, WORKLOADS.setting("on"), 2, Plan(output=Path("/o")))
        self.assertEqual(on.machine.rmpopt, "on")
        self.assertIn("seed=2 on='--on 50'", told.command)
        self.assertEqual((told.machine.smp, told.machine.seed, told.machine.memory), ("2", 2, 8 << 30))
        self.assertEqual(told.report, Path("/o/workloads/off.2"))

    def test_only_one_that_boots_an_snp_guest_has_its_archive(self) -> None:
        plan = Plan(output=Path("/o"), snp_guest=Path("/scratch/snp-guest.tar"))
        for e in EXPERIMENTS:
            files = experiment.request(e, e.settings[0], 1, plan).files
            self.assertEqual(plan.snp_guest in files, e.name == "snp-guest", e.name)

    def test_seed(self) -> None:
        plan = Plan(given=Given({}, {"seed": 40}), output=Path("/o"))
        requests = [experiment.request(WORKLOADS, WORKLOADS.settings[0], repetition, plan) for repetition in (1, 2)]
        self.assertEqual([request.machine.seed for request in requests], [41, 42])


class BadInputTest(unittest.TestCase):
    def test_plans(self) -> None:
        unmeasured = Plan(given=Given({}, {"measure": "off"}))
        for plan in (Plan(repeat=0), Plan(jobs=0), unmeasured, Plan(phases=("x",)), Plan(settings=("x",))):
            with self.assertRaises(BadInput):
                plan.check([WORKLOADS])
        Plan(phases=("files",), settings=("1/8",)).check([WORKLOADS])

    def test_names(self) -> None:
        with self.assertRaisesRegex(BadInput, "no experiment 'x'"):
            chosen(EXPERIMENTS, ["passes", "x"], "experiment")
        self.assertEqual(chosen(EXPERIMENTS, ["all"], "experiment"), list(EXPERIMENTS))

    def test_command_line(self) -> None:
        for words in (["x"], ["run"], ["passes", "--measure", "most"], ["passes", "--repeat", "0"],
                      ["passes", "--mem", "much"], ["passes", "--smp", "x"], ["passes", "--plugin", "/none.so"],
                      ["passes", "--tlb", "zen5", "--measure", "sampled=9"], ["run", "workloads", "--setting", "x"]):
            status, _, problem = output([PROGRAM, "experiment", *words])
            self.assertEqual(status, USAGE, words)
            self.assertRegex(problem.strip().splitlines()[-1], "^rmpopt: error: ", words)
            self.assertNotIn("Traceback", problem)

    def test_list(self) -> None:
        status, text, _ = output([PROGRAM, "experiment", "list", "--json"])
        self.assertEqual((status, [e["name"] for e in json.loads(text)["experiments"]]),
                         (OK, [e.name for e in EXPERIMENTS]))


if __name__ == "__main__":
    unittest.main()
