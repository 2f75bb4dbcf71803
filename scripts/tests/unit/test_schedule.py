# SPDX-License-Identifier: GPL-2.0-or-later
"""The first event in which two runs differ."""
import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path

from rmpopt_cli.base.errors import OK, BadInput
from rmpopt_cli.guest.guest_link import GuestLink
from rmpopt_cli.guest.machine import MachineOptions
from rmpopt_cli.guest.request import Request
from rmpopt_cli.guest.schedule import RECORD, check_readable, parting
from rmpopt_cli.guest.session import Ending
from rmpopt_cli.guest.symbols import Symbols
from rmpopt_cli.guest.verdict import judge
from rmpopt_cli.guest.view import View
from rmpopt_cli.guest.workspace import Workspace

INTERRUPT = (1_000_000_000, 1, 2, 0xffffffff81000040, 0, 0)
REPORT = {"lstar": None, "rmp": {"layout": "none"}, "schedule": {"hash": "0xabc", "events": 9745}}
RMPOPT = (1_500_000_000, 2, 0, 0x40000000, 1, 1)
NAMES = Symbols("ffffffff81000000 T asm_timer\nffffffff81000100 T entry_SYSCALL_64\nffffffff82000000 T _etext\n")


class ScheduleTest(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.top = Path(scratch.name)

    def run_of(self, name: str, *events: tuple[int, ...]) -> Path:
        report = self.top / name
        report.mkdir()
        (report / "schedule.bin").write_bytes(b"".join(RECORD.pack(*event) for event in events))
        (report / "report.json").write_text(json.dumps(REPORT))
        return report

    def test_equal(self) -> None:
        self.assertEqual(parting(self.run_of("a", INTERRUPT, RMPOPT), self.run_of("b", INTERRUPT, RMPOPT)), "")

    def test_other_event(self) -> None:
        later = (1_000_000_008, *INTERRUPT[1:])
        self.assertEqual(parting(self.run_of("a", RMPOPT, INTERRUPT), self.run_of("b", RMPOPT, later), NAMES),
                         "event 2 was exception, handler asm_timer+0x40 on CPU 2 at 1.000000000 s, "
                         "now exception, handler asm_timer+0x40 on CPU 2 at 1.000000008 s")

    def test_end(self) -> None:
        self.assertEqual(parting(self.run_of("a", INTERRUPT), self.run_of("b", INTERRUPT, RMPOPT)),
                         "event 2 was nothing more, now instruction 0x40000000 0x1 0x1 on CPU 0 at 1.500000000 s")

    def test_no_schedule(self) -> None:
        with self.assertRaisesRegex(BadInput, "no schedule.bin in it"):
            check_readable(self.top)
        with self.assertRaisesRegex(BadInput, "--same-as .*gone: no such directory"):
            check_readable(self.top / "gone")
        self.assertIn("no schedule to compare", parting(self.run_of("a"), self.top / "gone"))

    def same_as(self, earlier: Path, later: Path) -> tuple[str, str]:
        """What boot --same-as prints for a boot with seed 8 that goes well, and the line if it fails."""
        request = Request(same_as=earlier, machine=MachineOptions(seed=8))
        result = judge(request, GuestLink("tok"), Workspace(later, later), Ending(OK, "done"))
        result |= {"seconds": {"init": 1, "total": 2}, "guest_stages": None}
        told, out = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(told):
            View(request).close(result, [])
        return out.getvalue(), told.getvalue()

    def test_what_is_told(self) -> None:
        earlier, same = self.run_of("a", INTERRUPT), self.run_of("b", INTERRUPT)
        self.assertEqual(self.same_as(earlier, same)[0].splitlines()[0],
                         f"[ ok ] the same run as {earlier}: 9,745 events, hash 0xabc")
        (earlier / "result.json").write_text(json.dumps({"options": {"--seed": "7"}}))
        out, told = self.same_as(earlier, self.run_of("c", RMPOPT))
        self.assertNotIn("same run as", out)
        self.assertIn("not the same run: its seed was 7, and now it is 8; event 1 was ", told)

    def test_needs_the_seed(self) -> None:
        with self.assertRaisesRegex(BadInput, "--same-as needs the --seed"):
            Request(same_as=self.run_of("a")).check()
        Request(same_as=self.run_of("b"), machine=MachineOptions(seed=1)).check()


if __name__ == "__main__":
    unittest.main()
