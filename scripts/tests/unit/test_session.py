# SPDX-License-Identifier: GPL-2.0-or-later
"""A run of QEMU ends with the right outcome and message. A shell script plays QEMU and its guest."""
import json
import os
import signal
import tempfile
import threading
import time
import unittest
from pathlib import Path

from rmpopt_cli import cli
from rmpopt_cli.base.errors import GUEST_DIED, OK, QEMU_FAILED, TIMEOUT, VERDICT
from rmpopt_cli.base.parallel import stopping
from rmpopt_cli.guest.guest_link import GuestLink
from rmpopt_cli.guest.machine import MachineOptions
from rmpopt_cli.guest.request import Request
from rmpopt_cli.guest.session import Ending, Session, interruption
from rmpopt_cli.guest.verdict import judge
from rmpopt_cli.guest.workspace import Workspace

HELLO = "printf '\\0@tok hello\\n' >> status.log; "


class SessionTest(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.top = Path(scratch.name)
        self.space = Workspace(self.top, self.top)
        self.link = GuestLink("tok")

    def play(self, script: str, timeout: float = 20) -> Ending:
        argv = ["sh", "-c", f"cd {self.top}; {script}"]
        return Session(argv, self.space, self.link, timeout).run()

    def test_done_ends_qemu_in_good_order(self) -> None:
        started = time.monotonic()
        ending = self.play(f"trap 'touch ended; exit 0' TERM; {HELLO} printf '\\0@tok done 0\\n' >> status.log; "
                           "while :; do sleep 0.1; done")
        self.assertEqual((ending.status, ending.outcome), (OK, "done"))
        self.assertTrue((self.top / "ended").exists())
        self.assertLess(time.monotonic() - started, 10)

    def test_with_a_seed_qemu_ends_by_itself(self) -> None:
        argv = ["sh", "-c", f"cd {self.top}; trap 'touch ended; exit 0' TERM; {HELLO} "
                            "printf '\\0@tok done 0\\n' >> status.log; sleep 1; touch off"]
        ending = Session(argv, self.space, self.link, 20, to_the_end=True).run()
        self.assertEqual(ending.outcome, "done")
        self.assertTrue((self.top / "off").exists())
        self.assertFalse((self.top / "ended").exists())

    def test_done_just_before_the_exit_counts(self) -> None:
        self.assertEqual(self.play(f"{HELLO} printf '\\0@tok done 3\\n' >> status.log").outcome, "done")
        self.assertEqual(self.link.said("done"), ["done", "3"])

    def test_early_clean_exit_is_a_death(self) -> None:
        ending = self.play("echo booting > console.log; exit 0")
        self.assertEqual(ending.status, GUEST_DIED)
        self.assertIn("before it reached init", ending.message)
        self.assertIn("booting", ending.message)

    def test_exit_after_init_is_a_death(self) -> None:
        ending = self.play(HELLO + "exit 0")
        self.assertEqual(ending.status, GUEST_DIED)
        self.assertIn("before its work was done", ending.message)

    def test_start_anew_is_a_death_unless_expected(self) -> None:
        again = HELLO + HELLO + "sleep 1; printf '\\0@tok done 0\\n' >> status.log; sleep 5"
        ending = self.play(again)
        self.assertEqual(ending.status, GUEST_DIED)
        self.assertIn("started anew", ending.message)

    def test_expected_start_anew(self) -> None:
        argv = ["sh", "-c", f"cd {self.top}; {HELLO + HELLO} printf '\\0@tok done 0\\n' >> status.log; sleep 1"]
        ending = Session(argv, self.space, self.link, 20, reboots=1).run()
        self.assertEqual(ending.outcome, "done")

    def test_panic_is_named(self) -> None:
        ending = self.play("echo '[ 1.0] Kernel panic - not syncing: no root' > console.log")
        self.assertEqual((ending.outcome, ending.status), ("panic", GUEST_DIED))
        self.assertIn("no root", ending.message)

    def test_users_init_may_power_off(self) -> None:
        self.assertEqual(self.play(HELLO + "printf '\\0@tok handover\\n' >> status.log").outcome, "powered-off")

    def test_hang(self) -> None:
        ending = self.play("echo stuck here > console.log; exec sleep 100", timeout=0.5)
        self.assertEqual(ending.status, TIMEOUT)
        self.assertIn("stuck here", ending.message)

    def test_hang_of_the_command(self) -> None:
        begun = HELLO + "printf '\\0@tok begin output\\n' >> status.log; "
        ending = self.play(begun + "echo working >> status.log; exec sleep 100", timeout=0.5)
        self.assertEqual((ending.status, self.link.text("output")), (TIMEOUT, "working\n"))
        self.assertIn("the command was still running after 0 s (last output: working): raise", ending.message)

    def test_the_guests_time_is_up(self) -> None:
        ending = self.play("echo \"the time limit of 7 s of the guest's clock is over\" > plugin.log; "
                           "echo booting > console.log")
        self.assertEqual((ending.status, ending.message),
                         (TIMEOUT, "no end within 7 s of the guest's clock, guest got to: booting"))

    def test_killed(self) -> None:
        ending = self.play("kill -9 $$")
        self.assertEqual((ending.status, ending.message), (QEMU_FAILED, "QEMU was ended by SIGKILL"))

    def test_refusal_of_qemu_is_shown_without_noise(self) -> None:
        ending = self.play("echo 'qemu: no such thing' >&2; "
                           "echo \"qemu: warning: TCG doesn't support requested feature: x [bit 1]\" >&2; exit 1")
        self.assertEqual((ending.status, ending.message), (QEMU_FAILED, "qemu: no such thing"))

    def test_program_that_can_not_start(self) -> None:
        self.assertEqual(Session(["/nonexistent"], self.space, self.link, 1).run().outcome, "qemu-failed")

    def test_stopped_from_elsewhere(self) -> None:
        self.addCleanup(stopping.clear)
        stopping.set()
        self.assertEqual(self.play(f"{HELLO} exec sleep 100").outcome, "interrupted")

    def test_a_signal_ends_qemu_and_what_came_is_read(self) -> None:
        for signal_, raised in ((signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)):
            before = signal.signal(signal_, cli._stop if raised is SystemExit else signal.default_int_handler)
            self.addCleanup(signal.signal, signal_, before)
            threading.Timer(0.7, os.kill, (os.getpid(), signal_)).start()
            with self.assertRaises(raised) as caught:
                self.play(f"trap 'touch ended; exit 0' TERM; {HELLO} "
                          "printf '\\0@tok begin output\\nso far' >> status.log; while :; do sleep 0.1; done")
            self.assertTrue((self.top / "ended").exists())
            self.assertEqual(self.link.text("output"), "so far")
            ending = interruption(caught.exception)
            self.assertEqual((ending.status, ending.outcome), (128 + signal_, "interrupted"))
            self.setUp()

    def judged(self, report: str, table: str, request: Request) -> dict:
        self.space.plugin_report.write_text(report)
        self.link.feed(b"\0@tok begin dmesg\n[    0.1] SEV-SNP: Segmented RMP base table physical range [1 - 2]\n"
                       b"[    0.2] AMD-Vi: IOMMU SNP support enabled.\n[    0.3] ccp 0: SEV-SNP API:1.55 build:25\n"
                       b"[    0.4] kvm_amd: SEV-SNP enabled (ASIDs 1 - 99)\n\0@tok end dmesg 0\n"
                       + f"\0@tok begin table\n{table}\n\0@tok end table 0\n\0@tok done 0\n".encode())
        return judge(request, self.link, self.space, Ending(OK, "done"))

    REPORT = ('{"rmp": {"layout": "%s"}, "regions": [{"gb": 0, "assigned_pages": 0, "optimised_cpus": "0-1"}]}')
    WITH_PLUGIN = Request()

    def test_agreement(self) -> None:
        result = self.judged(self.REPORT % "segmented", "Memory @  0GB: CPU(s): 0-1", self.WITH_PLUGIN)
        self.assertEqual((result["outcome"], result["status"]), ("ok", OK))

    def test_cpus_without_a_clean_region_are_marked(self) -> None:
        self.link.feed(b"\0@tok begin facts\ncpu 0 0\ncpu 1 1\ncpu 2 2\n\n\0@tok end facts 0\n")
        for optimised, marked in (("0-1", True), ("0-2", False), ("", False)):
            report = (self.REPORT % "segmented").replace("0-1", optimised)
            result = self.judged(report, f"Memory @  0GB: CPU(s): {optimised or 'none'}", self.WITH_PLUGIN)
            self.assertEqual("<- not on CPUs 2" in result["tables"]["text"][1], marked, optimised)

    def test_disagreement(self) -> None:
        result = self.judged(self.REPORT % "segmented", "Memory @  0GB: CPU(s): none", self.WITH_PLUGIN)
        self.assertEqual(result["outcome"], "verdict")
        self.assertIn("disagree on the regions at GiB 0", result["message"])

    def test_other_layout(self) -> None:
        result = self.judged(self.REPORT % "contiguous", "Memory @  0GB: CPU(s): 0-1", self.WITH_PLUGIN)
        self.assertIn("segmented RMP where the plugin made a contiguous", result["message"])

    def test_report_missing_or_broken(self) -> None:
        result = self.judged("{", "Memory @  0GB: CPU(s): 0-1", self.WITH_PLUGIN)
        self.assertIn("left no report", result["message"])

    def test_machine_that_was_refused(self) -> None:
        self.space.plugin_report.write_text("{}")
        result = judge(self.WITH_PLUGIN, self.link, self.space, Ending(QEMU_FAILED, "qemu-failed", "refused"))
        self.assertEqual((result["message"], result["hints"]), ("refused", []))

    def test_look_that_was_too_short(self) -> None:
        awaited = {"id": "lost-optimisation", "severity": "error", "seconds": 2.5, "what": "text"}
        report = json.loads(self.REPORT % "segmented") | {
            "lstar": None, "watch": {"bound_seconds": 30, "passes": [], "findings": [], "awaited": [awaited]}}
        for request, status in ((Request(), OK), (Request(watch_fatal=True), VERDICT)):
            result = self.judged(json.dumps(report), "Memory @  0GB: CPU(s): 0-1", request)
            self.assertEqual(result["status"], status)
        self.assertEqual(result["outcome"], "watch")
        self.assertRegex(result["message"], r"looked for only 2\.5 s of 30 s: text: .*--time virtual -- 'sleep 60'")

    def test_missing_proof(self) -> None:
        self.link.feed(b"\0@tok done 0\n")
        self.space.plugin_report.write_text(self.REPORT % "none")
        result = judge(self.WITH_PLUGIN, self.link, self.space, Ending(OK, "done"))
        self.assertIn("did not show: RMP probed", result["message"])

    def test_status_of_the_command_wins(self) -> None:
        self.link.feed(b"\0@tok done 9\n")
        request = Request(command="false", machine=MachineOptions(no_plugin=True))
        result = judge(request, self.link, self.space, Ending(OK, "done"))
        self.assertEqual((result["outcome"], result["status"]), ("guest-exit", 9))


if __name__ == "__main__":
    unittest.main()
