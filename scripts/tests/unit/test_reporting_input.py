# SPDX-License-Identifier: GPL-2.0-or-later
"""Truncated, damaged and odd reports: whether the schemas accept them, and how the report command handles them."""
import copy
import json
import subprocess
import unittest
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from rmpopt_cli import reporting
from rmpopt_cli.base.paths import CHECKOUT
from rmpopt_cli.guest import linux
from rmpopt_cli.reporting import measured
from .test_reporting import ENCRYPTED_GUESTS, EVENTS, REPORT, Fixture

DEBIAN_PYTHON = Path("/usr/bin/python3")
VALIDATE = CHECKOUT / "scripts/schema/validate.py"
MACHINE = ("policies", "rmp", "cpus", "cores", "cpu_core", "snp_enabled", "snp_cpus", "rmpopt_cpus", "counters",
           "regions")

Change = Callable[[dict], object]
# Neither the schema nor the report command accepts these.
BROKEN: dict[str, Change] = {
    "a cell's level": lambda r: r["measure"]["cells"][0].__setitem__(3, "load"),
    "a cell's length": lambda r: r["measure"]["cells"][0].pop(),
    "a negative count": lambda r: r["measure"]["cells"][0].__setitem__(4, -1),
    "a missing field": lambda r: r["measure"]["phases"][0].pop("rmpopt"),
    "a missing model": lambda r: r["measure"].pop("model"),
    "a text for a number": lambda r: r["measure"].update(seconds="4"),
    "an empty measure": lambda r: r.update(measure={}),
    "a list as measure": lambda r: r.update(measure=[]),
    "no regions": lambda r: r.pop("regions"),
    "a region's CPUs": lambda r: r["regions"][0].update(optimised_cpus="0-"),
    "a TLB's levels": lambda r: r["measure"]["tlb"]["levels"][0].pop("ways"),
    "an accessor": lambda r: r["measure"]["cells"][0].__setitem__(2, "snp_guest"),
    "the number of an exit": lambda r: r.update(encrypted_guests={**ENCRYPTED_GUESTS, "exits": {"NPF": "many"}}),
    "a count of encrypted guests": lambda r: r.update(encrypted_guests={**ENCRYPTED_GUESTS, "pvalidate": None}),
    "the version": lambda r: r.update(schema=2),
}
# The schema rejects these, but the report command can show them.
DEVIANT: dict[str, Change] = {
    "a share": lambda r: r["measure"]["estimates"][0].update(skip_rate=1.5),
    "an unknown field": lambda r: r["measure"].update(extra=1),
    "an unknown field of the whole": lambda r: r.update(extra=1),
    "the watch": lambda r: r.update(watch={"bound_seconds": 30}),
    "the secure processor": lambda r: r["psp"].update(state="on"),
    "an address": lambda r: r.update(lstar=0),
    "the schedule": lambda r: r["schedule"].pop("events"),
}


def early() -> dict:
    """The report of a QEMU that ended before its guest started."""
    report = {name: value for name, value in copy.deepcopy(REPORT).items() if name not in MACHINE}
    return {**report, "measure": None, "complete": False, "lstar": None, "schedule": None}


@unittest.skipUnless(DEBIAN_PYTHON.exists(), "the schema's validator is Debian's")
class Schema(Fixture):
    def deviations(self, status: int) -> str:
        done = subprocess.run([DEBIAN_PYTHON, VALIDATE, self.directory], capture_output=True, text=True, check=False)
        self.assertEqual((done.stderr, done.returncode), ("", status))
        return done.stdout

    def test_good(self) -> None:
        for report in (REPORT, early(), {**REPORT, "measure": None, "lstar": None},
                       {**REPORT, "encrypted_guests": ENCRYPTED_GUESTS}):
            self.write(report)
            self.assertEqual(self.deviations(0), "")

    def test_a_cut_event_is_none(self) -> None:
        self.write(rest='{"seq": 8, "t": 4.2, "ty')
        self.assertEqual(self.deviations(0), "")

    def test_deviations(self) -> None:
        for name, change in {**BROKEN, **DEVIANT}.items():
            with self.subTest(name):
                report = copy.deepcopy(REPORT)
                change(report)
                self.write(report)
                self.assertIn("report.json", self.deviations(1))

    def test_a_deviation_has_its_place(self) -> None:
        phase = self.report["measure"]["phases"][1]
        phase["rmpopt"] = {**phase["rmpopt"], "scans": "4"}
        self.write()
        self.assertIn("measure/phases/1/rmpopt/scans: ", self.deviations(1))

    def test_events(self) -> None:
        work = {"executed": 1, "optimised": 1, "scans": 0, "cached": 1, "scanned_2m": 0, "cycles": 60}
        for event in ({"seq": 8, "t": 5, "type": "mark"}, {"seq": 8, "t": -1, "type": "end"}, {"t": 1, "type": "end"},
                      {"seq": 8, "t": 5, "type": "counts", "cells": [[0, 0, "host"]], "device": 0},
                      {"seq": 8, "t": 5, "type": "rmpopt", "core": 0, **work, "cycles": -1},
                      {"seq": 8, "t": 5, "type": "guest", "action": "moved", "context": "0x1", "asid": 1},
                      {"seq": 8, "t": 5, "type": "finding", "id": "x", "severity": "bad", "what": "y"}):
            with self.subTest(str(event)):
                self.write(rest=json.dumps(event) + "\n")
                self.assertIn("events.jsonl:8", self.deviations(1))

    def test_nothing_to_check(self) -> None:
        done = subprocess.run([DEBIAN_PYTHON, VALIDATE, self.directory], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1))


class Input(Fixture):
    def refused(self, expected: str) -> None:
        """Expects an error of one line."""
        status, out, problems = self.call("report", str(self.directory))
        self.assertEqual((status, out, len(problems.splitlines())), (2, "", 1))
        self.assertIn(expected, problems)

    def test_broken_reports(self) -> None:
        for name, change in BROKEN.items():
            with self.subTest(name):
                report = copy.deepcopy(REPORT)
                change(report)
                self.write(report)
                self.refused("report.json: not a report")

    def test_a_core_or_region_that_the_machine_lacks(self) -> None:
        for place in (0, 1):
            report = copy.deepcopy(REPORT)
            report["measure"]["cells"][0][place] = 99
            self.write(report)
            self.refused("a machine of 2 cores and 8 regions")

    def test_a_cpu_that_the_machine_lacks(self) -> None:
        for change in ({"regions": [{**region, "optimised_cpus": "0-9"} for region in REPORT["regions"]]},
                       {"cpu_core": [0, 0, 1, 7]}, {"cpu_core": [0]}):
            self.write({**REPORT, **change})
            self.refused("not a report")

    def test_broken_events(self) -> None:
        for event in ('{"t": 1}', "[]", '{"t": 5, "type": "counts"}', '{"t": "5", "type": "end"}',
                      '{"t": 5, "type": "table", "core": 9, "optimised": ""}',
                      '{"t": 5, "type": "table", "core": 0, "optimised": "7-8"}',
                      '{"t": 5, "type": "table", "core": 0, "optimised": "x"}',
                      '{"t": 5, "type": "counts", "cells": [[9, 0, "host", "store", 1, 0, 0]]}'):
            with self.subTest(event):
                self.write(rest=event + "\n")
                self.refused("events.jsonl:8: no event")

    def test_a_newer_plugins_event_is_passed_over(self) -> None:
        self.write(rest='{"seq": 8, "t": 5, "type": "newer"}\n')
        self.assertEqual(self.call("report", str(self.directory))[0], 0)

    def test_no_events(self) -> None:
        self.write()
        (self.directory / "events.jsonl").unlink()
        self.assertEqual(self.call("report", str(self.directory))[0], 0)

    def test_ended_before_the_guest_began(self) -> None:
        self.write(early())
        (self.directory / "events.jsonl").write_text("")
        status, out, _ = self.call("report", str(self.directory))
        self.assertEqual(status, 0)
        self.assertIn("whose guest did not begin", out)
        self.assertIn("nothing was measured", out)

    def test_a_boot_ends_as_it_has(self) -> None:
        result = {"plugin": REPORT}
        for problem in (KeyError("cells"), OSError("full")):
            with mock.patch.object(reporting, "render", side_effect=problem), \
                    mock.patch.object(linux, "warn") as warn:
                linux._render(self.directory, result, True)
                warn.assert_called_once()


class Restarted(Fixture):
    def test_starts_follow_one_another(self) -> None:
        again = [{"seq": 8, "t": 4.4, "type": "reset"}, {"seq": 9, "t": 0.0, "type": "boot"},
                 {"seq": 10, "t": 1.0, "type": "mark", "name": "again"}, {"seq": 11, "t": 2.0, "type": "end"}]
        last = copy.deepcopy(REPORT["measure"]["phases"][1])
        self.report["measure"]["phases"][1]["end"] = 1.0
        self.report["measure"]["phases"].append({**last, "name": "again", "start": 1.0})
        found = measured.load(self.write(rest="".join(json.dumps(event) + "\n" for event in again)))
        self.assertTrue(found.restarted)
        self.assertEqual([event["t"] for event in found.events[len(EVENTS):]], [4.4, 4.4, 5.4, 6.4])
        self.assertEqual([(one["start"], one["end"]) for one in found.phases], [(0.0, 1.5), (1.5, 5.4), (5.4, None)])
        self.assertEqual(found.seconds, 6.4)

    def test_one_start_stays_as_it_is(self) -> None:
        found = measured.load(self.write())
        self.assertFalse(found.restarted)
        self.assertEqual([event["t"] for event in found.events], [event["t"] for event in EVENTS])


if __name__ == "__main__":
    unittest.main()
