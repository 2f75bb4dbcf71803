# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures and pages of reports, and two reports side by side."""
import copy
import json
import re
import unittest
from pathlib import Path

from rmpopt_cli.reporting import compare, compare_page, figures, grids, guests, measured, page, text, timeline, trace
from rmpopt_cli.reporting.measured import Measured, Sum
from rmpopt_cli.reporting.timeline import Groups
from ..system.report import shown
from .test_reporting import ENCRYPTED_GUESTS, REPORT, Fixture, phase


def large(report: dict) -> dict:
    """64 cores and 2,047 regions, which do not fill their last row."""
    report["cpus"], report["cores"], report["cpu_core"] = 64, 64, list(range(64))
    report["regions"] = [{"gb": gb, "assigned_pages": 0, "optimised_cpus": "" if gb == 7 else "0-63"}
                         for gb in range(2047)]
    report["measure"]["cells"] = [[core, gb, "host", "store", core, gb, 0] for core in range(64) for gb in range(2047)]
    report["measure"]["phases"] = []
    return report


class Pictures(Fixture):
    def test_a_cell_says_none_and_all_of_nothing_less(self) -> None:
        self.assertEqual([grids._tenths(part, 64) for part in (0, 1, 32, 63, 64)], [0, 1, 5, 9, 10])

    def test_the_table_of_a_large_machine(self) -> None:
        self.report = large(self.report)
        found = self.load()
        groups = Groups.of(found.regions)
        last = grids.table_states(found, groups)[-1]
        self.assertEqual(last["pairs"], 2046 * 64)
        self.assertEqual(last["share"], "9" * 64 + "a" * 63 * 64)
        self.assertEqual((groups.size(0), groups.size(groups.rows - 1)), (32, 31))

    def test_tables_over_time(self) -> None:
        states = grids.table_states(self.load(), Groups.of(8))
        self.assertEqual([(one["t"], one["pairs"]) for one in states], [(0.5, 5), (4.2, 16)])
        self.assertEqual(states[0]["share"], "a0" * 4 + "0000" + "a0" + "00")

    def test_of_many_tables_some_stay(self) -> None:
        events = [{"seq": 8 + n, "t": 5 + n / 10, "type": "table", "core": n % 2, "optimised": f"{n % 8}"}
                  for n in range(5000)]
        rest = "".join(json.dumps(event) + "\n" for event in events)
        states = timeline.tables(measured.load(self.write(rest=rest)))
        self.assertLessEqual(len(states), timeline.MOST_STATES + 1)
        self.assertEqual(states[-1][1], {0: {4998 % 8}, 1: {4999 % 8}})

    def test_bins_have_all_that_was_counted(self) -> None:
        bins = timeline.bins(self.load(), Groups.of(8))
        self.assertEqual(sum((one.total for one in bins.by.values())), 150 + 4000007 + 1000)
        whole: dict[tuple[str, str], Sum] = {}
        for (who, level, _), found in bins.whole.items():
            whole[who, level] = whole.get((who, level), Sum()) + found
        self.assertEqual(whole, {("host", "store"): Sum(1000325, 3000775, 50), ("guest", "store"): Sum(7, 0, 0),
                                 ("host", "fill"): Sum(10, 30, 0)})

    def test_a_trace_has_rates_of_cores_and_regions(self) -> None:
        events = json.loads(trace.trace(self.load()))["traceEvents"]
        rates = {(event["name"], event["ts"]): event["args"]["percent"] for event in events
                 if event["ph"] == "C" and "percent" in event["args"]}
        self.assertEqual(rates["skipped % of stores, core 1", 1e6], 75)
        self.assertEqual(rates["skipped % of stores, GiB 5", 1e6], 75)
        self.assertEqual(rates["skipped % of stores, GiB 0", 4.2e6], 70)
        self.assertNotIn(("skipped % of stores, GiB 0", 1e6), rates)  # SNP was off


class Page(Fixture):
    def test_a_large_machine_stays_small(self) -> None:
        self.report = large(self.report)
        html = page.page(self.load())
        self.assertLess(len(html), 4 << 20)
        self.assertIn("Each row is 32 regions.", html)

    def test_guests_and_fills_stay_apart(self) -> None:
        found = shown(page.page(self.load()))
        self.assertEqual((found["host.stores"], found["host.fills"], found["guest.stores"]), (4001150, 40, 7))
        self.assertIn("<th>number<br>skipped</th>", page.page(self.load()))  # four pairs of columns would be too wide
        self.assertEqual((found["phase0.host.fills"], found["phase1.guest.store.rate"]), (40, 0))

    def test_snp_guests_are_apart_from_others(self) -> None:
        for cells in (self.report["measure"]["cells"], self.report["measure"]["phases"][1]["cells"]):
            cells += [[0, 2, "snp-guest", "store", 900, 0, 0], [0, 2, "snp-guest", "fill", 30, 0, 0]]
        html = page.page(self.load())
        found = shown(html)
        self.assertEqual((found["guest.stores"], found["snp-guest.stores"], found["snp-guest.store.rate"]), (7, 900, 0))
        self.assertEqual((found["phase1.snp-guest.fills"], found["phase0.snp-guest.stores"]), (30, 0))
        self.assertIn("stores of SNP guests", html)
        self.assertRegex(text.text(self.load()), r"(?m)^ +900  +snp-guest stores")

    def test_encrypted_guests(self) -> None:
        for html in (page.page(self.load()), text.text(self.load())):
            self.assertNotIn("encrypted memory", html)
        self.assertEqual(guests.line(self.report), "")
        self.report["encrypted_guests"] = ENCRYPTED_GUESTS
        for measure in (self.report["measure"], None):
            self.report["measure"] = measure
            found = shown(page.page(self.load()))
            self.assertEqual((found["guests.VMRUN"], found["guests.exits to the host"]), (1234567, 427))
            self.assertRegex(text.text(self.load()),
                             r"(?m)^ +427  exits to the host +# VMGEXIT 400, NPF 20, HLT 3, INTR 3, VINTR 1$")
        self.assertEqual(guests.line(self.report),
                         "encrypted guests: VMRUN 1,234,567; exits VMGEXIT 400, NPF 20, HLT 3, INTR 3, ...; #VC 307; "
                         "TLB fills 99,999; PVALIDATE 44")

    def test_without_a_model_nothing_is_said_of_fills(self) -> None:
        self.report["measure"]["tlb"] = None
        self.assertNotIn("ills (model)", page.page(self.load()))

    def test_a_sample_has_its_bounds(self) -> None:
        self.report["measure"]["interval"] = 100
        self.report["measure"]["phases"][1]["estimates"][0].update(blocks=9, low=0.7, high=0.8)
        html = page.page(self.load())
        self.assertIn("[70.00 %, 80.00 %]", html)
        self.assertIn("95% confidence", html)

    def test_many_phases(self) -> None:
        self.report["measure"]["phases"] *= figures.MOST_PHASES
        html = page.page(self.load())
        self.assertIn(f"{figures.MOST_PHASES} more phases", html)

    def test_no_text_of_a_guest_becomes_markup(self) -> None:
        self.report["measure"]["phases"][0]["name"] = "</script><script>alert(1)//"
        found = self.load()
        compared = compare.compare(found, found)
        for html in (page.page(found), compare_page.page(compared)):
            self.assertNotIn("<script>alert", html)
            self.assertNotIn("copy <b>", html)


class Compare(Fixture):
    def other(self) -> Measured:
        report = copy.deepcopy(REPORT)
        report["measure"]["phases"][1] = phase("new", 1.5, 2.0, [[0, 0, "host", "store", 1, 1, 0]])
        return Measured(self.directory, report)

    def test_page(self) -> None:
        html = compare_page.page(compare.compare(self.load(), self.other()))
        differences = dict(re.findall(r'data-key="([^"]*)" data-value="([^"]*)"', html))
        found = [differences[f"{number}.store_rate_difference"] for number in (0, 1)]
        self.assertEqual(found, ["0.0", "null"])
        self.assertEqual(len(differences), 2 * 4)
        self.assertIn("not there", html)

    def result(self, directory: Path, release: str, **options: object) -> None:
        flags = {f"--{name}" if name.islower() else name: value for name, value in options.items()}
        (directory / "result.json").write_text(json.dumps({"options": flags, "guest": {"release": release}}))

    def test_what_differs(self) -> None:
        other = self.directory / "other"
        other.mkdir()
        report = copy.deepcopy(REPORT)
        report["measure"]["phases"][1] = phase("new", 1.5, 2.0, [[0, 0, "host", "store", 1, 1, 0]])
        (other / "report.json").write_text(json.dumps(report))
        self.result(self.directory, "7.3", mem="6G", seed="7", policy=["oow=gp"], report="a", COMMAND="x" * 99)
        self.result(other, "6.12", mem="6G", rmpopt="off", seed="8", report="b", COMMAND="<y>")
        compared = compare.compare(self.load(), measured.load(other))
        self.assertEqual(compared["only"], {"a": ["copy <b>"], "b": ["new"]})
        self.assertEqual(compared["differences"][0], {"option": "--seed", "a": "7", "b": "8"})
        lines = ["--seed: A 7, B 8", "--policy: A oow=gp, B not given", f"COMMAND: A {'x' * 57}..., B <y>",
                 "kernel: A 7.3, B 6.12", "--rmpopt: A not given, B off", "phases only in A: copy <b>",
                 "phases only in B: new"]
        self.assertEqual(compare.differing(compared), lines)
        self.assertIn("\n" + "\n".join(lines) + "\n\n", compare.table(compared))
        self.assertIn("B &lt;y&gt;", compare_page.page(compared))

    def test_what_differs_in_boots_of_other_tools(self) -> None:
        other = copy.deepcopy(REPORT)
        other["policies"]["rcx"] = "ignored"
        compared = compare.compare(self.load(), Measured(self.directory, other))
        self.assertEqual(compare.differing(compared), ["rcx: A gp, B ignored"])

    def test_bounds_of_samples(self) -> None:
        one = self.report["measure"]["phases"][1]
        one["estimates"][0].update(blocks=9, low=0.7, high=0.8)
        self.report["measure"]["phases"].append({**one, "name": "twice"})
        self.report["measure"]["phases"].append({**one, "name": "twice"})
        found = self.load()
        compared = compare.compare(found, found)
        sides = {row["phase"]: row["a"] for row in compared["phases"]}
        self.assertEqual((sides["copy <b>"]["store_rate_low"], sides["copy <b>"]["store_rate_high"]), (0.7, 0.8))
        self.assertIsNone(sides["twice"]["store_rate_low"])
        self.assertIsNone(sides["before the first mark"]["store_rate_low"])
        self.assertIn("whisker", compare_page.page(compared))
        self.assertIn(" % [70.00 %, 80.00 %]  ", compare.table(compared))

    def test_without_a_model_no_fills(self) -> None:
        for name in ("cells", "phases"):
            for cells in ([self.report["measure"]["cells"]] if name == "cells" else
                          [one["cells"] for one in self.report["measure"]["phases"]]):
                cells[:] = [cell for cell in cells if cell[3] == "store"]
        found = self.load()
        compared = compare.compare(found, found)
        self.assertNotIn("fills*", compare.table(compared))
        self.assertNotIn("TLB fills", compare_page.page(compared))

    def test_command(self) -> None:
        where = self.directory / "compare.html"
        directory = str(self.write())
        self.assertEqual(self.call("compare", directory, directory, "--html", str(where))[0], 0)
        self.assertIn("side by side", where.read_text())
        status, out, problems = self.call("compare", directory, directory, "--html", str(self.directory / "no" / "x"))
        self.assertEqual((status, out, len(problems.splitlines())), (2, "", 1))


if __name__ == "__main__":
    unittest.main()
