# SPDX-License-Identifier: GPL-2.0-or-later
"""--require: the machine shows what is in use, and the boot fails without it."""
import tempfile
import unittest
from pathlib import Path

from rmpopt_cli.base.errors import OK, VERDICT, BadInput
from rmpopt_cli.guest import required
from rmpopt_cli.guest.guest_link import GuestLink
from rmpopt_cli.guest.machine import MachineOptions
from rmpopt_cli.guest.request import Request
from rmpopt_cli.guest.session import Ending
from rmpopt_cli.guest.verdict import judge
from rmpopt_cli.guest.workspace import Workspace


def result(snp: bool = True, kvm: bool = True, executed: int = 16) -> dict:
    return {"plugin": {"psp": {"snp_state": "init" if snp else "uninit"}, "rmpopt_possible": True, "rmpopt_cpus": "0-3",
                       "counters": {"rmpopt_scans": executed, "rmpopt_cached": 0}, "watch": None,
                       "regions": [{"gb": 0, "assigned_pages": 0, "optimised_cpus": "0-3"}]},
            "proofs": [{"title": "KVM offers SNP", "line": "SEV-SNP enabled" if kvm else ""}],
            "trouble": [], "hints": ["leave it out"], "about_rmpopt": ["optimized!"], "no_first_pass": False,
            "guest": {"siblings": {"0": "0-1"}}}


class MissingTest(unittest.TestCase):
    BOTH = ("snp", "rmpopt")

    def test_all_there(self) -> None:
        self.assertEqual(required.missing(self.BOTH, result()), "")

    def test_snp(self) -> None:
        says = required.missing(self.BOTH, result(snp=False))
        self.assertEqual(says, "required, but missing: SNP (at the end, firmware is not initialised for it; leave it "
                               "out)")
        self.assertEqual(required.missing(["rmpopt"], result(snp=False)), "")

    def test_a_proof(self) -> None:
        self.assertIn("SNP (the guest did not show: KVM offers SNP; ", required.missing(["snp"], result(kvm=False)))

    def test_rmpopt_is_not_what_the_kernel_says(self) -> None:
        self.assertRegex(required.missing(self.BOTH, result(executed=0)), r"missing: RMPOPT \(enabled .* not executed")
        self.assertEqual(required.missing(["snp"], result(executed=0)), "")

    def test_machine_without_rmpopt(self) -> None:
        shown = result()
        shown["plugin"]["rmpopt_possible"] = False
        self.assertIn("this machine has none", required.missing(["rmpopt"], shown))

    def test_no_report(self) -> None:
        self.assertIn("no report", required.missing(["snp"], {**result(), "plugin": None}))
        self.assertIn("SNP", required.missing(["snp"], {**result(), "plugin": {}}))
        self.assertEqual(required.missing([], {**result(), "plugin": None}), "")


class OptionTest(unittest.TestCase):
    def test_words(self) -> None:
        self.assertEqual(required.parse("snp,rmpopt"), ["snp", "rmpopt"])
        for text in ("", "sev", "snp,", "snp rmpopt"):
            with self.assertRaisesRegex(BadInput, "--require .*: give snp, rmpopt"):
                required.parse(text)

    def test_machines_that_can_not_have_it(self) -> None:
        for machine, says in ((MachineOptions(no_plugin=True), "leave --no-plugin"),
                              (MachineOptions(rmp="none"), "--rmp none out"),
                              (MachineOptions(rmpopt="off"), "leave --rmpopt off out")):
            with self.assertRaisesRegex(BadInput, says):
                Request(require=["rmpopt"], machine=machine).check()


class JudgeTest(unittest.TestCase):
    def judged(self, told: bytes, snp: str = "uninit") -> dict:
        link = GuestLink("tok")
        link.feed(told)
        with tempfile.TemporaryDirectory() as top:
            space = Workspace(Path(top), Path(top))
            space.plugin_report.write_text('{"psp": {"snp_state": "%s"}, "rmp": {"layout": "segmented"}}' % snp)
            return judge(Request(require=["snp"], command="x"), link, space, Ending(OK, "done"))

    def test_the_commands_success_does_not_count(self) -> None:
        shown = self.judged(b"\0@tok done 0\n")
        self.assertEqual((shown["outcome"], shown["status"]), ("verdict", VERDICT))
        self.assertIn("required, but missing: SNP", shown["message"])

    def test_the_commands_failure_does(self) -> None:
        shown = self.judged(b"\0@tok done 9\n")
        self.assertEqual((shown["outcome"], shown["status"]), ("guest-exit", 9))
        self.assertIn("required, but missing: SNP", shown["missing"])

    def test_proofs_are_those_from_before_the_command(self) -> None:
        shown = self.judged(b"\0@tok begin dmesg\n[ 0.1] SEV-SNP: RMP table physical range [1 - 2]\n"
                            b"[ 0.2] AMD-Vi: IOMMU SNP support enabled.\n[ 0.3] ccp 0: SEV-SNP API:1.55 build:25\n"
                            b"[ 0.4] kvm_amd: SEV-SNP enabled (ASIDs 1 - 99)\n\0@tok end dmesg 0\n"
                            b"\0@tok begin dmesg-end\nfull\n\0@tok end dmesg-end 0\n\0@tok done 0\n", "init")
        self.assertEqual(shown["missing"], "")


if __name__ == "__main__":
    unittest.main()
