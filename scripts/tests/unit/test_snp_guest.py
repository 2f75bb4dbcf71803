# SPDX-License-Identifier: GPL-2.0-or-later
"""The SNP guest of "guest boot": its QEMU command, its files, and what is refused."""
import io
import shlex
import tarfile
import unittest
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from rmpopt_cli.base.errors import VERDICT, BadInput, Failure
from rmpopt_cli.cli import parser
from rmpopt_cli.commands import guest as command
from rmpopt_cli.provision.debian_kernel import Kernel
from rmpopt_cli.snp_guest import guest
from rmpopt_cli.snp_guest.guest import SnpGuest


def run(*words: str) -> int:
    arguments = parser().parse_args(["guest", "boot", *words])
    return arguments.action(arguments)


class CommandTest(unittest.TestCase):
    def test_dry_run_prints_what_a_user_of_a_real_host_types(self) -> None:
        out = io.StringIO()
        with redirect_stdout(out):
            self.assertEqual(run("--dry-run", "--smp", "2", "--memory", "1G", "--append", "x y"), 0)
        words = shlex.split(out.getvalue())
        self.assertEqual(words[0], "qemu-system-x86_64")
        self.assertEqual(words[words.index("-smp") + 1], "2")
        self.assertIn("memory-backend-memfd,id=ram1,size=1024M,share=true", words)
        self.assertTrue(words[words.index("-append") + 1].endswith(" x y"))
        self.assertTrue(any(word.startswith("sev-snp-guest,") for word in words))

    def test_bad_input(self) -> None:
        for words, why in ((("--memory", "100M"), "too small"), (("--smp", "0"), "give 1 to 64"),
                           (("--kernel", "/nonexistent"), "/nonexistent"), (("--host", "--seed 3"), "--seed"),
                           (("--host", "--root /"), "--root"), (("--memory", "much"), "--mem much"),
                           (("--file", "/nonexistent/x"), "/nonexistent/x")):
            with self.subTest(words), self.assertRaisesRegex(BadInput, why):
                run("--dry-run", *words)


class FilesTest(unittest.TestCase):
    def test_the_host_gets_kernel_initrd_and_script(self) -> None:
        with TemporaryDirectory() as scratch:
            directory = Path(scratch)
            image = directory / "some-kernel"
            image.write_bytes(b"kernel")
            SnpGuest(command="echo 'a  b'; exit 3").write_files(directory, Kernel(image))
            self.assertEqual((directory / guest.KERNEL).read_bytes(), b"kernel")
            initrd = (directory / guest.INITRD).read_bytes()
            self.assertIn(b"echo 'a  b'; exit 3\n", initrd)
            self.assertIn(b"bin/busybox", initrd)
            self.assertIn(b"modules/order", initrd)
            self.assertNotIn(b"sev-guest", initrd)
            script = (directory / guest.SCRIPT).read_text()
            self.assertTrue(script.startswith(f"cd {guest.MOUNT}"))
            self.assertIn("sev-snp-guest", script)
            self.assertNotIn("LD_PRELOAD", script)
            SnpGuest(certificates=True).write_files(directory, Kernel(image))
            self.assertIn("LD_PRELOAD=./snp-certificates.so SNP_CERTIFICATES=certificates qemu-system-x86_64 ",
                          (directory / guest.SCRIPT).read_text())

    def test_the_guest_gets_the_users_files(self) -> None:
        with TemporaryDirectory() as scratch:
            program = Path(scratch, "program")
            program.write_bytes(b"content of program")
            initrd = SnpGuest(files=[program]).initrd()
        self.assertIn(b"root/program\0", initrd)
        self.assertIn(b"content of program", initrd)

    def test_the_guest_gets_the_modules_for_attestation(self) -> None:
        with TemporaryDirectory() as scratch:
            directory = Path(scratch)
            for name in ("vmlinuz", "sev-guest.ko", "tsm_report.ko", "other.ko"):
                (directory / name).write_bytes(f"content of {name}".encode())
            needs = {"sev-guest.ko": "tsm_report"}
            with mock.patch("rmpopt_cli.provision.modules.output", lambda argv: (0, needs.get(argv[-1].name, ""), "")):
                SnpGuest().write_files(directory, Kernel(directory / "vmlinuz", directory))
            initrd = (directory / guest.INITRD).read_bytes()
            self.assertIn(b"tsm_report.ko\nsev-guest.ko\n", initrd)
            self.assertIn(b"content of sev-guest.ko", initrd)
            self.assertNotIn(b"other.ko", initrd)

    def test_one_archive_has_all(self) -> None:
        with TemporaryDirectory() as scratch:
            directory = Path(scratch)
            (directory / "some-kernel").write_bytes(b"kernel")
            (directory / "top/usr/bin").mkdir(parents=True)
            (directory / "top/usr/bin/busybox").write_bytes(b"program")
            (directory / "top/bin").symlink_to("usr/bin")
            packed = SnpGuest(command="true").pack(directory, Kernel(directory / "some-kernel"), directory / "top")
            with tarfile.open(packed) as archive:
                names = {name.removeprefix("./") for name in archive.getnames()}
                self.assertTrue(archive.getmember("./bin").issym())
        self.assertLessEqual({"usr/bin/busybox", "snp-guest/run", "snp-guest/vmlinuz", "snp-guest/initrd"}, names)


class StatusTest(unittest.TestCase):
    def status(self, **files: str) -> int:
        with TemporaryDirectory() as scratch:
            directory = Path(scratch)
            for name, text in files.items():
                (directory / getattr(guest, name)).write_text(text)
            return command._status({"status": 7, "report": scratch}, directory)

    def test_is_that_of_the_command(self) -> None:
        self.assertEqual(self.status(STATUS="7\n", CONSOLE="x"), 7)

    def test_a_guest_that_dies_is_quoted(self) -> None:
        with self.assertRaisesRegex(Failure, "Kernel panic; KVM_RUN failed") as caught:
            self.status(STATUS="", CONSOLE="...\nKernel panic\n", MESSAGES="KVM_RUN failed\n")
        self.assertEqual(caught.exception.status, VERDICT)


if __name__ == "__main__":
    unittest.main()
