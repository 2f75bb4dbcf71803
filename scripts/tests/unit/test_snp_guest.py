# SPDX-License-Identifier: GPL-2.0-or-later
"""The SNP guest of "guest boot": its QEMU command, its files, and what is refused."""
import io
import os
import shlex
import subprocess
import tarfile
import unittest
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from rmpopt_cli.base.errors import VERDICT, BadInput, Failure
from rmpopt_cli.cli import parser
from rmpopt_cli.commands import guest as command
from rmpopt_cli.guest import workspace
from rmpopt_cli.guest.request import Request
from rmpopt_cli.guest.workspace import GUEST_TIMES, LEFT_BY_GUEST
from rmpopt_cli.provision.cache import Cache
from rmpopt_cli.provision.debian_kernel import Kernel
from rmpopt_cli.snp_guest import firmware, guest
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

    def test_firmware(self) -> None:
        def words(*options: str) -> list[str]:
            out = io.StringIO()
            with redirect_stdout(out):
                run("--dry-run", *options)
            return shlex.split(out.getvalue())

        for options, bios, hashed in (((), "/usr/share/ovmf/OVMF.fd", False),
                                      (("--firmware", "ovmf"), "/usr/share/ovmf/OVMF.fd", False),
                                      (("--firmware", "direct"), "direct-boot.bin", True)):
            with self.subTest(options):
                found = words(*options)
                self.assertEqual(found[found.index("-bios") + 1], bios)
                self.assertEqual("kernel-hashes=on" in " ".join(found), hashed)

    def test_firmware_of_the_user(self) -> None:
        with TemporaryDirectory() as scratch:
            path = Path(scratch, "my.fd")
            Path(scratch, "files").mkdir()
            for size, why in ((0, "is empty"), (1000, "64 KiB"), (64 << 10, "no table")):
                path.write_bytes(bytes(size))
                with self.subTest(size), self.assertRaisesRegex(BadInput, why):
                    run("--dry-run", "--firmware", str(path))
            path.write_bytes(bytes(64 << 10))
            with mock.patch("rmpopt_cli.snp_guest.measurement.takes_hashes", lambda content: True):
                command = SnpGuest(firmware=str(path)).qemu_command()
            self.assertEqual(command[command.index("-bios") + 1], "firmware.fd")
            self.assertIn("kernel-hashes=on", " ".join(command))
            firmware.write(None, str(path), Path(scratch, "files"))
            self.assertEqual(Path(scratch, "files", "firmware.fd").read_bytes(), path.read_bytes())

    def test_more_options_for_qemu_come_last(self) -> None:
        out = io.StringIO()
        with redirect_stdout(out):
            self.assertEqual(run("--dry-run", "--qemu-opts=-device 'a,b=c d'", "--qemu-opts=-S"), 0)
        self.assertEqual(shlex.split(out.getvalue())[-3:], ["-device", "a,b=c d", "-S"])

    def test_bad_input(self) -> None:
        for words, why in ((("--memory", "100M"), "too small"), (("--smp", "0"), "give 1 to 64"),
                           (("--kernel", "/nonexistent"), "/nonexistent"), (("--host=--shell",), "--shell"),
                           (("--host", "--root /"), "--root"), (("--memory", "much"), "--mem much"),
                           (("--file", "/nonexistent/x"), "/nonexistent/x"), (("--qemu-opts", "'"), "quotes"),
                           (("--firmware", "/nonexistent/f"), "/nonexistent/f")):
            with self.subTest(words), self.assertRaisesRegex(BadInput, why):
                run("--dry-run", *words)


DONE = "2.22 qemu\n27.73 done 8.89 7\n"


def made_long_ago(path: Path, parents: bool = False) -> None:
    os.makedirs(path)
    os.utime(path, (1, 1))


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

    def test_the_guest_gets_the_users_modules(self) -> None:
        with TemporaryDirectory() as scratch:
            directory = Path(scratch)
            for name in ("vmlinuz", "virtio_blk.ko", "virtio.ko", "other.ko"):
                (directory / name).write_bytes(f"content of {name}".encode())
            needs = {"virtio_blk.ko": "virtio"}
            kernel, told = Kernel(directory / "vmlinuz", directory), io.StringIO()

            def modinfo(argv: list) -> tuple[int, str, str]:
                return 0, needs.get(argv[-1].name, ""), ""

            with mock.patch("rmpopt_cli.provision.modules.output", modinfo), redirect_stderr(told):
                SnpGuest(modules=["virtio_blk", "misspelt"]).write_files(directory, kernel)
            self.assertIn(b"virtio.ko\nvirtio_blk.ko\n", (directory / guest.INITRD).read_bytes())
        self.assertIn("--module misspelt: not among", told.getvalue())
        self.assertNotIn("virtio_blk:", told.getvalue())

    def packed(self, directory: Path) -> Path:
        top, files = directory / "top", directory / "files"
        (top / "usr/bin").mkdir(parents=True)
        (top / "usr/bin/busybox").write_bytes(b"program")
        (top / "bin").symlink_to("usr/bin")
        files.mkdir()
        (directory / "some-kernel").write_bytes(b"kernel")
        SnpGuest(command="true").write_files(files, Kernel(directory / "some-kernel"))
        return guest.pack(files, top)

    def test_one_archive_has_all(self) -> None:
        with TemporaryDirectory() as scratch, tarfile.open(self.packed(Path(scratch))) as archive:
            names = [name.removeprefix("./") for name in archive.getnames()]
            self.assertTrue(archive.getmember("./bin").issym())
        self.assertLessEqual({"usr/bin/busybox", "snp-guest/run", "snp-guest/vmlinuz", "snp-guest/initrd"}, {*names})
        self.assertNotIn("snp-guest/" + guest.ARCHIVE, names)

    def test_the_archive_is_the_same_each_time(self) -> None:
        with TemporaryDirectory() as one, TemporaryDirectory() as other:
            first = self.packed(Path(one)).read_bytes()
            with mock.patch.object(Path, "mkdir", autospec=True, side_effect=made_long_ago):
                self.assertEqual(self.packed(Path(other)).read_bytes(), first)


class ScriptTest(unittest.TestCase):
    """What the emulated host executes."""

    def run_script(self, qemu: str) -> tuple[int, list[str]]:
        """Its status, and what it writes down without the times, for such a QEMU."""
        with TemporaryDirectory() as scratch:
            mount, dev = Path(scratch, "mount"), Path(scratch, "dev")
            mount.mkdir()
            dev.mkdir()
            text = guest.SCRIPT_TEXT.replace("COMMAND", qemu).replace(guest.MOUNT, str(mount))
            text = text.replace(f"/dev/{guest.SAYS}", f"{dev}/{guest.SAYS}")
            status = subprocess.run(["sh", "-c", text], timeout=60, check=False).returncode
            lines = (mount / GUEST_TIMES).read_text().splitlines()
            return status, [line.partition(" ")[2] for line in lines]

    def test_tells_when_the_guest_says_what(self) -> None:
        said = "{ echo init 5.0; echo done 7.5 3; } >guest-says; sh -c 'exit 1'"
        self.assertEqual(self.run_script(said), (3, ["qemu", "init 5.0", "done 7.5 3", "ended"]))

    def test_a_qemu_that_dies_is_no_success(self) -> None:
        self.assertEqual(self.run_script("false"), (125, ["qemu", "ended"]))
        self.assertEqual(self.run_script("echo init 5.0 >guest-says; true"), (125, ["qemu", "init 5.0", "ended"]))


class HostTest(unittest.TestCase):
    """How the files reach the emulated host, and what the guest leaves the report."""

    def boot(self, *words: str) -> Request:
        """The host's boot. It leaves what a guest leaves, where this host would."""
        booted = []

        def boot(cache: Cache, request: Request, view: object) -> dict:
            request.check()
            booted.append(request)
            for share in request.shares:
                (share.directory / GUEST_TIMES).write_text(DONE)
            for path in request.kept if request.files else ():
                (self.report / path.name).write_text(DONE)
            return {"status": 7, "report": str(self.report)}

        self.report = Path(self.enterContext(TemporaryDirectory()))
        kernel, userland = self.report / "kernel", self.report / "userland"
        kernel.write_bytes(b"kernel")
        (userland / "bin").mkdir(parents=True)
        (userland / "bin/sh").write_bytes(b"program")
        for name, replacement in (("linux.boot", boot), ("Cache", mock.Mock()), ("given_kernel.check", mock.Mock()),
                                  ("given_kernel.find", lambda cache, name: Kernel(kernel)),
                                  ("snp_userland.ensure", lambda cache, busybox: userland)):
            self.enterContext(mock.patch(f"rmpopt_cli.commands.guest.{name}", replacement))
        self.enterContext(redirect_stderr(io.StringIO()))
        self.assertEqual(run(*words), 7)
        return booted[0]

    def test_by_a_share(self) -> None:
        request = self.boot()
        self.assertEqual([share.mount for share in request.shares], [guest.MOUNT])
        self.assertEqual(request.files, [])
        self.assertEqual(request.kept, [Path(guest.MOUNT, name) for name in LEFT_BY_GUEST])
        self.assertEqual((self.report / GUEST_TIMES).read_text(), DONE)

    def test_by_an_archive_with_a_seed(self) -> None:
        request = self.boot("--host=--seed 3 --file /bin/sh")
        self.assertEqual((request.root, request.shares), (None, []))
        self.assertEqual([path.name for path in request.files], ["sh", guest.ARCHIVE])
        self.assertIn(guest.RUN_UNPACKED, request.command)
        self.assertEqual(request.kept, [Path(guest.TOP + guest.MOUNT, name) for name in LEFT_BY_GUEST])


class StatusTest(unittest.TestCase):
    def status(self, **files: str) -> int:
        with TemporaryDirectory() as scratch:
            directory = Path(scratch)
            for name, text in files.items():
                (directory / getattr(workspace, name)).write_text(text)
            return command._status({"status": 7, "output": "tar: no space\n"}, directory)

    def test_is_that_of_the_command(self) -> None:
        self.assertEqual(self.status(GUEST_TIMES=DONE, GUEST_CONSOLE="x"), 7)

    def test_a_guest_that_dies_is_quoted(self) -> None:
        with self.assertRaisesRegex(Failure, "Kernel panic; KVM_RUN failed") as caught:
            self.status(GUEST_TIMES="2.22 qemu\n", GUEST_CONSOLE="...\nKernel panic\n",
                        GUEST_MESSAGES="KVM_RUN failed\n")
        self.assertEqual(caught.exception.status, VERDICT)

    def test_a_host_that_cannot_start_it_is_quoted(self) -> None:
        with self.assertRaisesRegex(Failure, "command: tar: no space"):
            self.status()


if __name__ == "__main__":
    unittest.main()
