# SPDX-License-Identifier: GPL-2.0-or-later
"""The cpio archive is what cpio(1) and the kernel expect."""
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from rmpopt_cli.guest import initramfs


@unittest.skipUnless(shutil.which("cpio"), "cpio is not installed")
class CpioTest(unittest.TestCase):
    def unpack(self, archive: bytes) -> Path:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        subprocess.run(["cpio", "-id", "--quiet", "--no-absolute-filenames"], input=archive, cwd=scratch.name,
                       check=True)
        return Path(scratch.name)

    def test_files_directories_and_links(self) -> None:
        cpio = initramfs.Cpio()
        cpio.file("a/b/odd", b"123", 0o755)
        cpio.file("a/b/even", b"12345678")
        cpio.link("a/link", "b/odd")
        cpio.file("empty", b"")
        top = self.unpack(cpio.archive())
        self.assertEqual((top / "a/b/odd").read_bytes(), b"123")
        self.assertEqual((top / "a/b/odd").stat().st_mode & 0o777, 0o755)
        self.assertEqual((top / "a/b/even").read_bytes(), b"12345678")
        self.assertEqual((top / "a/link").read_bytes(), b"123")
        self.assertEqual((top / "empty").read_bytes(), b"")

    def test_config_survives_a_shell(self) -> None:
        odd = "it's \"odd\" $HOME `x`"
        top = self.unpack(initramfs.build({"token": odd}, "echo hello", [], [], with_root=False))
        home = top / initramfs.HOME
        text = subprocess.run(["sh", "-c", f'. {home}/config; printf %s "$token"'], capture_output=True, text=True)
        self.assertEqual(text.stdout, odd)
        self.assertEqual((home / "command").read_text(), "echo hello\n")
        self.assertFalse((top / "bin").exists())

    def test_tools_go_where_our_shell_finds_them(self) -> None:
        with tempfile.NamedTemporaryFile(prefix="tool-") as tool:
            tool.write(b"what it does")
            tool.flush()
            path = Path(tool.name)
            top = self.unpack(initramfs.build({}, "", [], [], True, [path]))
        self.assertEqual((top / initramfs.HOME / "bin" / path.name).read_bytes(), b"what it does")
        self.assertEqual((top / "bin").readlink(), Path(initramfs.HOME, "bin"))

    def test_the_users_archive_follows_ours_aligned(self) -> None:
        self.assertEqual(initramfs.joined(b"12345", b"user's"), b"12345\0\0\0user's")


if __name__ == "__main__":
    unittest.main()
