# SPDX-License-Identifier: GPL-2.0-or-later
"""Findings are shown with symbols and marks, and are judged."""
import tempfile
import unittest
from pathlib import Path

from rmpopt_cli.base.errors import BadInput
from rmpopt_cli.guest import symbols, watch

MAP = """ffffffff81000000 T _stext
ffffffff81000100 t rmpopt_on_cpu
ffffffff81000200 T entry_SYSCALL_64
ffffffff81000300 D data
ffffffff81000400 T _etext
"""


def finding(**changes: object) -> dict:
    return {"id": "rmpopt-disabled", "severity": "error", "seconds": 1.5, "cpu": 1, "rip": "0xffffffff81000110",
            "address": None, "what": "text", "hint": "do it right", "count": 1, **changes}


class SymbolsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.names = symbols.Symbols(MAP)

    def test_name_and_offset(self) -> None:
        self.assertEqual(self.names.at(0xffffffff81000110), "rmpopt_on_cpu+0x10")

    def test_kaslr(self) -> None:
        moved = 0x12000000
        self.assertEqual(self.names.at(0xffffffff81000110 + moved, 0xffffffff81000200 + moved), "rmpopt_on_cpu+0x10")

    def test_outside_of_the_text(self) -> None:
        self.assertIsNone(self.names.at(0x401000))
        self.assertIsNone(self.names.at(0xffffffffc0000000))

    def test_file_without_symbols(self) -> None:
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("no symbols")
            file.flush()
            with self.assertRaises(BadInput):
                symbols.load(Path(file.name))

    def test_nothing_beside_the_kernel(self) -> None:
        self.assertIsNone(symbols.for_kernel(None, Path("/nonexistent/bzImage")))


class FindingsTest(unittest.TestCase):
    def test_no_watch_no_findings(self) -> None:
        self.assertEqual(watch.findings(None, None), [])
        self.assertEqual(watch.findings({"watch": None, "lstar": None}, None), [])

    def test_symbol_is_added(self) -> None:
        report = {"watch": {"findings": [finding(), finding(rip=None)]}, "lstar": "0xffffffff81000200"}
        found = watch.findings(report, symbols.Symbols(MAP))
        self.assertEqual([f["symbol"] for f in found], ["rmpopt_on_cpu+0x10", None])

    def test_notes_are_not_serious(self) -> None:
        self.assertEqual(watch.serious([finding(severity="note")]), [])
        self.assertEqual(len(watch.serious([finding(), finding(severity="warning")])), 2)

    def test_lines(self) -> None:
        first, hint = watch.lines([finding(symbol="rmpopt_on_cpu+0x10", count=3)], [])
        self.assertEqual(first, "[ !! ] rmpopt-disabled: text [first of 3 such events: 1.500 s, CPU 1, "
                                "RIP rmpopt_on_cpu+0x10]")
        self.assertEqual(hint.strip(), "do it right")

    def test_what_the_watch_still_waits_for(self) -> None:
        one = {"id": "lost-optimisation", "severity": "error", "seconds": 2.46, "what": "text"}
        line = "lost-optimisation, perhaps: looked for only 2.5 s of 30 s: text"
        self.assertEqual(watch.awaited({"watch": {"bound_seconds": 30, "awaited": [one]}}), [line])
        self.assertEqual(watch.lines([], [line]), [f"[warn] {line}"])
        for nothing in (None, {}, {"watch": None}, {"watch": {"findings": []}}):
            self.assertEqual(watch.awaited(nothing), [])

    def test_summary_counts(self) -> None:
        self.assertEqual(watch.summary([finding(), finding()]),
                         "the watch found rmpopt-disabled: text (and 1 more)")


if __name__ == "__main__":
    unittest.main()
