# SPDX-License-Identifier: GPL-2.0-or-later
"""Another tool's QEMU command line comes onto our machine: what the machine is made of goes, all else stays."""
import unittest

from rmpopt_cli.base.errors import BadInput
from rmpopt_cli.guest import foreign
from rmpopt_cli.guest.machine import MachineOptions


class ReadTest(unittest.TestCase):
    def test_what_the_machine_is_made_of_goes(self) -> None:
        theirs = foreign.read("-name x -m 1G -object memory-backend-memfd,id=mem,size=1G,share=on -numa node,memdev=mem"
                              " -machine accel=kvm:tcg -M q35 -cpu host -accel kvm -enable-kvm -smp 3"
                              " -object rng,id=r -device edu -append -m".split())
        self.assertEqual(theirs.rest, "-name x -object rng,id=r -device edu -append -m".split())
        self.assertEqual((theirs.memory, theirs.smp), ("1G", "3"))

    def test_the_kernel_stays_and_is_known(self) -> None:
        theirs = foreign.read(["--kernel", "a b", "--machine", "q35"])
        self.assertEqual((theirs.rest, str(theirs.kernel)), (["-kernel", "a b"], "a b"))

    def test_a_value_is_missing(self) -> None:
        with self.assertRaisesRegex(BadInput, "-m without a value"):
            foreign.read(["-m"])

    def test_questions(self) -> None:
        for line in ("--version", "-version", "-machine help", "-device help", "-device nvme,help", "-cpu ?", "-h"):
            self.assertTrue(foreign.is_question(line.split()), line)
        for line in ("", "-kernel help", "-append ?", "-m 1G -device nvme", "-name version"):
            self.assertFalse(foreign.is_question(line.split()), line)


class SizeTest(unittest.TestCase):
    def onto(self, line: str, **chosen: object) -> tuple[int, str]:
        made = foreign.read(line.split()).onto(MachineOptions(**chosen), {*chosen})  # type: ignore[arg-type]
        return made.memory, made.smp

    def test_is_the_other_tools_unless_the_user_chose_one(self) -> None:
        self.assertEqual(self.onto("-m 1G -smp 3"), (1 << 30, "3"))
        self.assertEqual(self.onto("-m size=512,slots=2 -smp 3", memory=4 << 30), (4 << 30, "3"))
        self.assertEqual(self.onto("-m size=512,slots=2 -smp 3", smp="8"), (512 << 20, "8"))
        self.assertEqual(self.onto(""), (MachineOptions().memory, MachineOptions().smp))
