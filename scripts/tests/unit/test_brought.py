# SPDX-License-Identifier: GPL-2.0-or-later
"""What users bring into the guest reaches QEMU and the guest's init, or is refused with a line that names it."""
import os
from pathlib import Path

from rmpopt_cli.guest.brought import Brought, Disk, Share
from rmpopt_cli.guest.machine import MachineOptions
from rmpopt_cli.guest.request import Request
from rmpopt_cli.provision import modules
from .test_input import Scratch


class ShareTest(Scratch):
    def test_forms(self) -> None:
        for text, wanted in (("/a", Share(Path("/a"), "/a")), ("/a:/b", Share(Path("/a"), "/b")),
                             ("/a:rw", Share(Path("/a"), "/a", True)),
                             ("/a:/b/../c/:rw", Share(Path("/a"), "/c", True)),
                             (".", Share(Path.cwd(), os.getcwd()))):
            self.assertEqual(Share.parse(text), wanted, text)
        for text in ("", ":/b", "/a:b", "/a:/b:ro", "/a:/b:/c", "/a:", "/a\nnet"):
            self.refused("--share .*give DIR", Share.parse, text)

    def test_what_is_not_there(self) -> None:
        Share(self.top, "/x").check()
        self.refused("no such directory", Share(self.top / "absent", "/x").check)
        self.refused("give another MOUNT", Share(self.top, "/").check)
        (self.top / "file").touch()
        self.refused("no such directory", Share(self.top / "file", "/x").check)

    def test_two_at_the_same_place(self) -> None:
        self.refused("same place", Brought(shares=[Share(self.top, "/x"), Share(self.top, "/x", True)]).check)


class DiskTest(Scratch):
    def put(self, content: bytes) -> Path:
        path = self.top / "a,b"
        path.write_bytes(content)
        return path

    def test_forms(self) -> None:
        for text, wanted in (("/a", Disk(Path("/a"))), ("/a:nvme", Disk(Path("/a"), "nvme")),
                             ("/a:rw", Disk(Path("/a"), "virtio", True)),
                             ("/a:nvme:rw", Disk(Path("/a"), "nvme", True))):
            self.assertEqual(Disk.parse(text), wanted, text)
        for text in ("", ":nvme", "/a:scsi", "/a:rw:nvme", "/a:"):
            self.refused("--disk .*give FILE", Disk.parse, text)

    def test_what_is_no_image(self) -> None:
        Disk(self.put(b"x")).check()
        self.refused("Is a directory", Disk(self.top).check)
        self.refused("No such file", Disk(self.top / "absent").check)
        self.refused("give an image", Disk(Path("/dev/null")).check)

    def test_format_is_that_of_the_file(self) -> None:
        for content, name in ((b"QFI\xfb rest", "qcow2"), (b"QFI", "raw"), (b"", "raw")):
            self.assertEqual(Disk(self.put(content)).format(), name)

    def test_writes_are_kept_only_if_asked_for(self) -> None:
        path = self.put(b"x")
        drive = Brought(disks=[Disk(path)]).arguments(Path("/run"))[1]
        self.assertEqual(drive, f"if=none,id=disk0,format=raw,snapshot=on,file={self.top}/a,,b")
        self.assertIn("snapshot=off", Brought(disks=[Disk(path, "nvme", True)]).arguments(Path("/run"))[3])


class BroughtTest(Scratch):
    def test_nothing(self) -> None:
        nothing = Brought()
        nothing.check()
        self.assertFalse(nothing)
        self.assertEqual((nothing.arguments(Path("/run")), nothing.for_init(), nothing.modules()), ([], "", []))

    def test_root_must_be_a_userland(self) -> None:
        self.refused("no bin/sh", Brought(self.top).check)
        (self.top / "bin").mkdir()
        (self.top / "bin" / "sh").symlink_to("/bin/dash")  # dangles, seen from here, as in any other userland
        Brought(self.top).check()

    def test_only_what_is_shared_for_writing_can_be_written(self) -> None:
        words = Brought(self.top, [Share(self.top, "/x"), Share(self.top, "/y", True)]).arguments(Path("/run"))
        modes = [word for word in words if word.startswith("local,")]
        self.assertEqual(["readonly=on" in mode for mode in modes], [True, True, False])

    def test_what_the_init_is_told(self) -> None:
        brought = Brought(self.top, [Share(self.top, "/x y"), Share(self.top, "/z", True)], net=True)
        self.assertEqual(brought.for_init(), "root\nshare share0 ro /x y\nshare share1 rw /z\nnet\n")
        self.assertEqual(Brought(consoles=2).for_init(), "consoles 2\n")

    def test_directories_that_a_root_lacks(self) -> None:
        (self.top / "x").mkdir()  # below /tmp
        (self.top / "home").mkdir()
        self.assertFalse(Brought(Path("/")).has(self.top / "x"))
        self.assertTrue(Brought(Path("/"), [Share(self.top, str(self.top))]).has(self.top / "x"))
        self.assertFalse(Brought(Path("/"), [Share(self.top, "/mnt")]).has(Path("/mnt/absent")))
        self.assertTrue(Brought(Path("/")).has(Path("/usr")))
        self.assertTrue(Brought(self.top).has(Path("/home")))
        self.assertFalse(Brought(self.top).has(Path("/usr")))

    def test_modules_are_known(self) -> None:
        everything = Brought(self.top, [Share(self.top, "/x")], [Disk(self.top), Disk(self.top, "nvme")], True, 4)
        self.assertEqual({*everything.modules()}, {*modules.FOR_DEVICES})
        self.assertEqual(Brought(disks=[Disk(self.top)]).modules(), ["virtio_pci", "virtio_blk", "ext4"])

    def test_excludes(self) -> None:
        seeded = Request(net=True, machine=MachineOptions(seed=1))
        self.refused("--seed with --root", seeded.check)
        (self.top / "bin").mkdir()
        (self.top / "bin" / "sh").touch()
        self.refused("--root and --initrd", Request(root=self.top, initrd=self.top).check)
