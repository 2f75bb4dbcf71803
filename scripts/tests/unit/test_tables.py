# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables of kernel and plugin are read and compared row by row."""
import random
import unittest

from rmpopt_cli.guest import tables

KERNEL = "Memory @  0GB: CPU(s): 0-3\nMemory @  1GB: CPU(s): none\nMemory @ 12GB: CPU(s): 0,2-3\n"


def report(*rows: tuple[int, str]) -> dict:
    return {"regions": [{"gb": gb, "assigned_pages": 0, "optimised_cpus": cpus} for gb, cpus in rows]}


class TablesTest(unittest.TestCase):
    def test_cpulist_both_ways(self) -> None:
        dice = random.Random(2)
        for _ in range(300):
            cpus = frozenset(dice.sample(range(300), dice.randrange(40)))
            self.assertEqual(tables.parse_cpulist(tables.cpulist(cpus)), cpus)

    def test_cpulist_form(self) -> None:
        self.assertEqual(tables.cpulist([3, 0, 1, 2, 6]), "0-3,6")
        self.assertEqual(tables.cpulist([]), "")

    def test_kernel_rows(self) -> None:
        self.assertEqual(tables.from_kernel(KERNEL), {0: {0, 1, 2, 3}, 1: set(), 12: {0, 2, 3}})

    def test_agreement(self) -> None:
        plugin = tables.from_report(report((0, "0-3"), (1, ""), (2, ""), (12, "0,2,3")))
        self.assertEqual(tables.differences(tables.from_kernel(KERNEL), plugin), [])

    def test_each_disagreement_is_named(self) -> None:
        plugin = tables.from_report(report((0, "0-2"), (1, "1"), (12, "0,2-3"), (13, "0")))
        self.assertEqual(tables.differences(tables.from_kernel(KERNEL), plugin), [0, 1, 13])

    def test_rows_are_folded_and_marked(self) -> None:
        plugin = tables.from_report(report((0, "0-3"), (1, "0-3"), (2, ""), (3, "0-1")))
        lines = tables.side_by_side(plugin | {3: frozenset()}, plugin, {2: 5}, {})
        self.assertEqual([line.split()[0] for line in lines[1:]], ["0-1", "2", "3"])
        self.assertIn("differ", lines[3])
        self.assertNotIn("differ", "".join(lines[:3]))

    def test_one_table_alone(self) -> None:
        lines = tables.side_by_side(None, {0: frozenset({1})}, {}, {})
        self.assertEqual(lines[1].split(), ["0", "-", "1", "0"])

    def test_clean_region_that_some_cpus_lack(self) -> None:
        cpus = frozenset(range(4))
        seen = report((0, "0-3"), (1, "0-1"), (2, "0-1"), (3, ""), (4, ""))
        seen["regions"][3]["assigned_pages"] = 7
        seen["watch"] = {"unmapped": [4]}
        missing = tables.not_optimised(seen, cpus)
        self.assertEqual(missing, {1: {2, 3}, 2: {2, 3}})
        lines = tables.side_by_side(None, tables.from_report(seen), {3: 7}, missing)
        self.assertEqual([line.split()[0] for line in lines[1:]], ["0", "1-2", "3", "4"])
        self.assertTrue(lines[2].endswith("<- not on CPUs 2-3"))
        self.assertEqual("".join(lines).count("<-"), 1)

    def test_regions_are_counted_by_cores(self) -> None:
        seen = report((0, "0-3"), (1, "0-1"), (2, ""))
        self.assertEqual(tables.how_many(seen, frozenset(range(4))), "1 of 3 regions optimised on all cores, 1 on some")
        self.assertEqual(tables.how_many(seen, frozenset({0, 1})), "2 of 3 regions optimised on all cores")
        self.assertEqual(tables.how_many({}, frozenset()), "0 of 0 regions optimised on all cores")


if __name__ == "__main__":
    unittest.main()
