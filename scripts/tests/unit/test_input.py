# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad input is refused with a line that names it."""
import socket
import struct
import tempfile
import unittest
from pathlib import Path
from typing import Any

from rmpopt_cli.base import host
from rmpopt_cli.base.errors import BadInput
from rmpopt_cli.guest import linux, machine, workspace
from rmpopt_cli.guest.bare_metal import check_elf
from rmpopt_cli.guest.request import Request
from rmpopt_cli.provision import image


def kernel_image(syssize: int = 64, setup_sectors: int = 1) -> bytes:
    head = bytearray(0x400)
    head[0x1F1] = setup_sectors
    struct.pack_into("<I", head, 0x1F4, syssize)
    head[0x1FE:0x200] = b"\x55\xaa"
    head[0x202:0x206] = b"HdrS"
    head[0x236] = 1
    return bytes(head) + b"\0" * (syssize * 16)


class Scratch(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.top = Path(scratch.name)

    def file(self, content: bytes, name: str = "file") -> Path:
        path = self.top / name
        path.write_bytes(content)
        return path

    def refused(self, words: str, call, *arguments) -> None:  # type: ignore[no-untyped-def]
        with self.assertRaisesRegex(BadInput, words) as caught:
            call(*arguments)
        self.assertNotIn("\n", str(caught.exception))


class KernelImageTest(Scratch):
    def test_good(self) -> None:
        image.check_kernel(self.file(kernel_image()))

    def test_not_a_kernel(self) -> None:
        for content in (b"", b"text", b"\0" * 5000):
            self.refused("is not an x86 Linux kernel", image.check_kernel, self.file(content))

    def test_vmlinux(self) -> None:
        self.refused("ELF", image.check_kernel, self.file(b"\x7fELF" + b"\0" * 2000))

    def test_unified_kernel_image(self) -> None:
        head = b"MZ" + b"\0" * 0x2e6
        for sections, words in ((b".linux\0\0", "unified kernel image.*objcopy"),
                                (b".text\0\0\0", "is not an x86 Linux")):
            self.refused(words, image.check_kernel, self.file(head + sections + b"\0" * 5000))

    def test_zboot(self) -> None:
        self.refused("zboot", image.check_kernel, self.file(b"MZ\0\0zimg" + b"\0" * 5000))

    def test_truncated(self) -> None:
        self.refused("truncated", image.check_kernel, self.file(kernel_image(syssize=4096)[:9000]))

    def test_32_bit(self) -> None:
        content = bytearray(kernel_image())
        content[0x236] = 0
        self.refused("64-bit", image.check_kernel, self.file(bytes(content)))

    def test_absent_and_directory(self) -> None:
        self.refused("No such file", image.check_kernel, self.top / "absent")
        self.refused("directory", image.check_kernel, self.top)


class OtherFilesTest(Scratch):
    def test_initrd(self) -> None:
        self.refused("No such file", image.check_readable, self.top / "absent", "initrd")
        self.refused("is empty", image.check_readable, self.file(b""), "initrd")

    def test_elf(self) -> None:
        self.refused("not an ELF", check_elf, self.file(b"#!/bin/sh"))
        self.refused("No such file", check_elf, self.top / "absent")



class MachineTest(Scratch):
    def test_sizes(self) -> None:
        self.assertEqual(machine.parse_size("6G"), 6 << 30)
        self.assertEqual(machine.parse_size("512"), 512 << 20)
        for text in ("", "G", "1.5G", "-1G", "6GB"):
            self.refused("--mem", machine.parse_size, text)

    def test_smp(self) -> None:
        for text in ("1", "8", "4,cores=2,threads=2", "cpus=4,sockets=2"):
            self.assertEqual(machine.check_smp(text), text)
        for text in ("", "0", "four", "4,core=2", "4,,"):
            self.refused("--smp", machine.check_smp, text)

    def test_policy(self) -> None:
        self.assertEqual(machine.check_policy("oow=cf0"), "oow=cf0")
        for text in ("oow", "=x", "a=b,c=d", "a b=c"):
            self.refused("--policy", machine.check_policy, text)

    def test_injection(self) -> None:
        for text in ("psp:SNP_INIT_EX:3", "psp:SNP_INIT_EX:0x3:2", "rmpupdate:4:1000"):
            self.assertEqual(machine.check_injection(text), text)
        for text in ("", "psp", "psp:SNP_INIT_EX", "rmpupdate:x", "rmpopt-clear:1", "rmpupdate:1:", "psp:a,b:1"):
            self.refused("--inject", machine.check_injection, text)
        told = machine.plugin_argument(machine.MachineOptions(injections=["rmpupdate:4", "psp:SNP_INIT:1"]), {})
        self.assertIn(",inject=rmpupdate:4,inject=psp:SNP_INIT:1", told)

    def test_comma_in_a_plugin_path(self) -> None:
        options = machine.MachineOptions(plugin=Path("/a,b/librmpopt.so"))
        self.refused("comma", machine.plugin_argument, options, {})
        self.refused("comma", machine.plugin_argument, machine.MachineOptions(), {"log": Path("/a,b")})

    def test_long_socket_path(self) -> None:
        name = "/control.sock"
        long, fits = (workspace.Workspace(Path("/r"), Path("/" + "x" * (n - len(name)))) for n in (107, 106))
        self.refused("longer than 107", workspace.fitting, long)
        self.assertIs(workspace.fitting(fits), fits)


class MemoryTest(Scratch):
    @staticmethod
    def check(size: str, available: int, **options: Any) -> None:
        Request(machine=machine.MachineOptions(memory=machine.parse_size(size), **options)).check_memory(available)

    def test_what_the_kernel_touches_must_fit(self) -> None:
        self.check("1T", 22 << 30)
        self.refused("will touch 60.5 GiB.*has 22.0 GiB left", self.check, "3T", 22 << 30)
        self.check("1280G", (20 << 30) + (512 << 20), no_plugin=True)  # no RMP
        self.refused("touch 25.5", self.check, "1280G", 25 << 30)

    def test_small_guests(self) -> None:
        self.check("300M", 300 << 20)
        self.refused("too small", self.check, "100M", 1 << 40)

    def test_idle_cpus_of_this_machine(self) -> None:
        self.assertEqual(host.idle_cpus(0.4), host.idle_cpus(0))
        self.assertEqual(host.idle_cpus(0.6), host.idle_cpus(0) - 1)
        self.assertEqual(host.idle_cpus(1e6), 0)

    def test_memory_of_this_machine(self) -> None:
        self.assertEqual(host.available_memory("MemTotal: 9 kB\nMemAvailable:   1024 kB\n"), 1 << 20)
        self.assertEqual(host.available_memory(""), host.UNLIMITED)
        self.assertGreater(host.available_memory(), 0)

    def test_numa(self) -> None:
        self.refused("NUMA is not offered", machine.MachineOptions(qemu_options=["-numa", "node"]).check)


class KernelWordsTest(unittest.TestCase):
    def test_no_kernel_is_told_to_encrypt(self) -> None:
        line = linux._command_line(Request(append="iommu=pt mem_encrypt=on,x mem_encrypt=on x=\"a  b\""))
        self.assertIn(" iommu=pt mem_encrypt=on,x x=\"a  b\" ", line)


class SocketTest(Scratch):
    def test_absent_is_fine(self) -> None:
        workspace.free_socket(self.top / "s")

    def test_stale_socket_is_removed(self) -> None:
        path = self.top / "s"
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
        workspace.free_socket(path)
        self.assertFalse(path.exists())

    def test_socket_in_use_is_kept(self) -> None:
        path = self.top / "s"
        with socket.socket(socket.AF_UNIX) as busy:
            busy.bind(str(path))
            busy.listen(1)
            self.refused("in use", workspace.free_socket, path)
        self.assertTrue(path.exists())

    def test_other_files_are_kept(self) -> None:
        self.refused("not a socket", workspace.free_socket, self.file(b"precious"))
        self.assertEqual((self.top / "file").read_bytes(), b"precious")


if __name__ == "__main__":
    unittest.main()
