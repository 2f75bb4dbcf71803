# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports made from report.json and events.jsonl, and the messages about those that can't be read."""
import contextlib
import copy
import csv
import io
import json
import tempfile
import unittest
from pathlib import Path

from rmpopt_cli import cli
from rmpopt_cli.reporting import measured, page, render, spreadsheet, text, timeline, trace
from rmpopt_cli.reporting.measured import Measured, Sum, sums
from ..system.report import shown

WORK = {"executed": 16, "optimised": 12, "scans": 4, "cached": 12, "scanned_2m": 2048, "cycles": 22669}
TLB = {"walks": 40, "l2_hits": 9, "stale": 0, "flushes": {"cr3": 5, "invlpg": 2},
       "fills": [{"accessor": "host", "checked": 10, "skipped": 30, "off": 0, "skip_rate": 0.75}]}


def estimate(cells: list, blocks: int = 0) -> dict:
    found = sums(cells, "store", "host")
    return {"accessor": "host", "stores": found.total, "stores_low": found.total, "stores_high": found.total,
            "skip_rate": found.rate, "low": found.rate, "high": found.rate, "blocks": blocks}


def phase(name: str, start: float, end: float | None, cells: list, tlb: dict | None = None) -> dict:
    return {"name": name, "start": start, "end": end, "cells": cells, "device": 0, "estimates": [estimate(cells)],
            "tlb": tlb, "rmpopt": WORK, "rmpupdate": 3, "guests": {"launched": 1, "ended": 0}}


FIRST = [[0, 0, "host", "store", 0, 0, 50], [1, 5, "host", "store", 25, 75, 0], [1, 5, "host", "fill", 10, 30, 0]]
SECOND = [[0, 0, "host", "store", 1000000, 3000000, 0], [0, 1, "guest", "store", 7, 0, 0]]
OUTSIDE = [[0, 0, "host", "store", 300, 700, 0]]  # after the last phase


def merged(*parts: list[list]) -> list[list]:
    """Merges cells so that there is one for each place, as in a report."""
    found: dict[tuple, list[int]] = {}
    for *where, checked, skipped, off in (cell for part in parts for cell in part):
        before = found.get(tuple(where), [0, 0, 0])
        found[tuple(where)] = [before[0] + checked, before[1] + skipped, before[2] + off]
    return [[*where, *numbers] for where, numbers in found.items()]


REPORT = {
    "schema": 1, "plugin_version": "0", "persona": "venice", "policies": {"rcx": "gp"}, "rmp": {"layout": "segmented"},
    "cpus": 4, "cores": 2, "cpu_core": [0, 0, 1, 1], "snp_enabled": True, "snp_cpus": "0-3", "rmpopt_cpus": "0-3",
    "counters": {"rmpopt": 40, "rmpopt_set": 30, "rmpopt_scans": 10, "rmpopt_cached": 30, "rmpopt_scanned_2m": 5000,
                 "rmpupdate": 7, "rmpupdate_failed": 0, "psmash": 0, "psmash_failed": 0},
    "regions": [{"gb": gb, "assigned_pages": 0, "optimised_cpus": "0-3"} for gb in range(8)],
    "watch": None, "lstar": "0xffffffff81000040", "schedule": {"hash": "0x1f", "events": 7},
    "messages": [], "enforcement": "on", "complete": True, "encrypted_guests": None,
    "psp": {"present": True, "state": "init", "snp_state": "init", "commands": 1, "last_command": "0x1",
            "last_status": "0x0", "failed": 0, "guests": 0, "by_command": {"SNP_INIT": 1}},
    "measure": {
        "mode": "exact", "interval": 0, "seconds": 4.0, "confidence": 0.95,
        "tlb": {"preset": "zen5", "levels": [{"name": "L1 DTLB", "entries": 96, "ways": 96}],
                "source": "a book", **TLB},
        "model": {"rmpopt_cycles": 56000, "rmpopt_base_cycles": 60.0, "rmpopt_entry_cycles": 10.6, "source": "a mail"},
        "cells": merged(FIRST, SECOND, OUTSIDE), "device": 5, "unresolved": 0,
        "estimates": [estimate(FIRST + SECOND + OUTSIDE)],
        "phases": [phase("", 0.0, 1.5, FIRST, TLB), phase("copy <b>", 1.5, None, SECOND, TLB)]},
}
ENCRYPTED_GUESTS = {"entries": 1234567, "exits": {"INTR": 3, "NPF": 20, "VMGEXIT": 400, "HLT": 3, "VINTR": 1},
                    "vc": {"IOIO": 300, "CPUID": 7}, "requests": {"page state change": 5, "IOIO": 300},
                    "tlb_fills": 99999, "page_faults": 11, "rmp_faults": 2, "pvalidate": 44, "pvalidate_unchanged": 1,
                    "rmpadjust": 6}
EVENTS = [
    {"seq": 1, "t": 0.0, "type": "measure", "mode": "exact", "interval": 0, "tlb": "zen5"},
    {"seq": 2, "t": 0.5, "type": "table", "core": 0, "optimised": "0-3,6"},
    {"seq": 3, "t": 1.0, "type": "counts", "cells": FIRST, "device": 5},
    {"seq": 4, "t": 1.5, "type": "mark", "name": "copy <b>"},
    {"seq": 5, "t": 2.0, "type": "rmpupdate", "gb": 5, "count": 3, "failed": 0},
    {"seq": 6, "t": 4.0, "type": "counts", "cells": SECOND, "device": 0},
    {"seq": 7, "t": 4.2, "type": "counts", "cells": OUTSIDE, "device": 0},
]


class Fixture(unittest.TestCase):
    def setUp(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="rmpopt-test-")
        self.addCleanup(self._scratch.cleanup)
        self.directory = Path(self._scratch.name)
        self.report = copy.deepcopy(REPORT)

    def write(self, report: object = None, rest: str = "") -> Path:
        (self.directory / "report.json").write_text(json.dumps(self.report if report is None else report))
        (self.directory / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in EVENTS) + rest)
        return self.directory

    def load(self) -> Measured:
        return measured.load(self.write())

    def call(self, *words: str) -> tuple[int, str, str]:
        out, problems = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(problems):
            status = cli.main(list(words))
        return status, out.getvalue(), problems.getvalue()


class Forms(Fixture):
    def test_sums(self) -> None:
        found = self.load()
        self.assertEqual(sums(found.cells, "store", "host"), Sum(1000325, 3000775, 50))
        self.assertEqual(sums(found.cells, "store"), Sum(1000332, 3000775, 50))
        self.assertEqual(found.outside, OUTSIDE)
        self.assertEqual(sums(found.cells, "fill"), Sum(10, 30, 0))
        self.assertIsNone(Sum(0, 0, 9).rate)

    def test_text(self) -> None:
        out = text.text(self.load())
        self.assertIn("4,001,150  host stores", out)
        self.assertIn("75.00 % of those due", out)
        self.assertIn("\n where the kernel places memory varies from boot to boot, and with it the skip rates: ", out)
        self.assertIn("40  host TLB fills for stores (model)", out)
        self.assertIn("7  guest stores", out)
        self.assertIn("In no phase:\n\n             1,000  host stores", out)
        self.assertNotIn("[", out.split("Phase")[1])

    def test_text_of_a_boot_without_marks(self) -> None:
        self.report["measure"]["phases"] = [phase("", 0.0, None, FIRST)]
        out = text.text(self.load())
        self.assertIn(" No phase was marked, 0.000 s to 4.200 s:", out)
        self.assertNotIn("first mark", out)

    def test_one_name_for_what_is_before_the_first_mark(self) -> None:
        found = self.load()
        for form in (text.text, spreadsheet.csv, trace.trace, page.page):
            self.assertIn("before the first mark", form(found), form)

    def test_text_of_a_sample_has_its_interval(self) -> None:
        self.report["measure"]["phases"][1]["estimates"][0].update(blocks=100, low=0.7, high=0.8, stores_low=3960000,
                                                            stores_high=4050000)
        out = text.text(self.load())
        self.assertIn("[70.00 %, 80.00 %]", out)
        self.assertIn("± 50,000 (1.25 %)", out)

    def test_csv_has_every_cell(self) -> None:
        rows = list(csv.DictReader(io.StringIO(spreadsheet.csv(self.load()))))
        self.assertEqual(len(rows), len(FIRST) + len(SECOND) + len(OUTSIDE))
        for outcome, total in vars(sums(REPORT["measure"]["cells"], "store")).items():
            self.assertEqual(sum(int(row[outcome]) for row in rows if row["level"] == "store"), total)
        self.assertEqual((rows[-1]["phase"], rows[-1]["start"], rows[-1]["end"]), ("in no phase", "", ""))

    def test_trace(self) -> None:
        events = json.loads(trace.trace(self.load()))["traceEvents"]
        slices = [event for event in events if event["ph"] == "X"]
        self.assertEqual([(one["ts"], one["dur"]) for one in slices], [(0.0, 1.5e6), (1.5e6, 2.7e6)])
        self.assertEqual(slices[1]["args"]["store_skip_rate"], 0.75)
        self.assertTrue(any(event["ph"] == "C" and event["args"].get("percent") == 75 for event in events))
        self.assertTrue(any(event["ph"] == "i" and event["name"] == "GiB 5: 3 RMPUPDATE" for event in events))

    def test_page(self) -> None:
        render(self.write())
        html = (self.directory / "report.html").read_text()
        figures = shown(html)
        self.assertEqual(figures["host.stores"], 4001150)
        self.assertEqual(figures["phase1.host.store.rate"], 0.75)
        self.assertEqual((figures["outside.host.stores"], figures["outside.host.store.rate"]), (1000, 0.7))
        self.assertEqual(figures["table.pairs"], 16)  # of the report, though the events tell of fewer
        self.assertIn("copy &lt;b&gt;", html)
        self.assertNotIn("copy <b>", html)

    def test_unmeasured(self) -> None:
        self.report["measure"] = None
        render(self.write())
        for name in ("report.txt", "report.html"):
            self.assertIn("nothing was measured", (self.directory / name).read_text())

    def test_killed(self) -> None:
        self.report["complete"] = False
        found = measured.load(self.write(rest='{"seq": 7, "t": 4.2, "ty'))
        self.assertTrue(found.lost)
        self.assertEqual(len(found.events), len(EVENTS))
        self.assertIn("did not end by itself", text.text(found))

    def test_large_machines_stay_small(self) -> None:
        self.report["cpus"], self.report["cores"], self.report["cpu_core"] = 64, 64, list(range(64))
        self.report["regions"] = [{"gb": gb, "assigned_pages": 0, "optimised_cpus": ""} for gb in range(2048)]
        self.report["measure"]["cells"] = [[core, gb, "host", "store", core, gb, 0]
                                           for core in range(64) for gb in range(2048)]
        render(self.write())
        self.assertLess((self.directory / "report.html").stat().st_size, 4 << 20)

    def test_groups(self) -> None:
        groups = timeline.Groups.of(100)
        self.assertEqual((groups.each, groups.rows, groups.name(49), groups.row(99)), (2, 50, "98-99", 49))
        self.assertEqual(timeline.Groups.of(8).name(7), "7")
        self.assertEqual(timeline.numbers("0-2,5"), {0, 1, 2, 5})
        self.assertEqual(timeline.numbers(""), set())


class Commands(Fixture):
    def test_report(self) -> None:
        status, out, problems = self.call("report", str(self.write()))
        self.assertEqual(status, 0)
        self.assertIn("host stores", out)
        self.assertIn("report.html", problems)

    def test_compare(self) -> None:
        other = self.directory / "other"
        other.mkdir()
        changed = copy.deepcopy(REPORT)
        changed["measure"]["cells"] = merged(FIRST, [[0, 0, "host", "store", 1, 1, 0]])
        changed["measure"]["phases"][1] = phase("new", 1.5, 2.0, [[0, 0, "host", "store", 1, 1, 0]])
        (other / "report.json").write_text(json.dumps(changed))
        status, out, _ = self.call("compare", "--json", str(self.write()), str(other))
        rows = {row["phase"]: row for row in json.loads(out)["phases"]}
        self.assertEqual(status, 0)
        self.assertEqual(list(rows), ["before the first mark", "copy <b>", "new", "(all)"])
        self.assertEqual(rows["before the first mark"]["store_rate_difference"], 0)
        self.assertIsNone(rows["new"]["a"])
        self.assertAlmostEqual(rows["(all)"]["store_rate_difference"], 76 / 102 - 3000775 / 4001100)
        self.assertEqual((rows["(all)"]["a"]["stores"], rows["(all)"]["a"]["rmpopt"]), (4001150, 40))
        status, out, _ = self.call("compare", str(self.directory), str(other))
        self.assertIn("B-A", out)

    def test_what_cannot_be_read(self) -> None:
        cases = {"no directory": (None, "No such file"), "cut": ('{"schema": 1', "no JSON"),
                 "other": ('{"schema": 9, "measure": null}', "not a report of this version"),
                 "list": ("[]", "not a report")}
        for name, (content, expected) in cases.items():
            with self.subTest(name):
                if content is not None:
                    (self.directory / "report.json").write_text(content)
                status, out, problems = self.call("report", str(self.directory))
                self.assertEqual((status, out), (2, ""))
                self.assertIn(expected, problems)
                self.assertEqual(len(problems.splitlines()), 1)

    def test_broken_events(self) -> None:
        status, _, problems = self.call("report", str(self.write(rest="nonsense\n")))
        self.assertEqual(status, 2)
        self.assertIn("events.jsonl:8: no event", problems)

    def test_compare_wants_measured_boots(self) -> None:
        self.report["measure"] = None
        self.write()
        status, _, problems = self.call("compare", str(self.directory), str(self.directory))
        self.assertEqual(status, 2)
        self.assertIn("nothing was measured", problems)


if __name__ == "__main__":
    unittest.main()
