# SPDX-License-Identifier: GPL-2.0-or-later
"""Patch series are read in order and applied, or refused with the place of the problem."""
import tempfile
import unittest
from pathlib import Path

from rmpopt_cli.base.errors import BadInput, Failure
from rmpopt_cli.provision import kernel, linux_source, series

DIFF = "diff --git a/{0} b/{0}\n--- a/{0}\n+++ b/{0}\n@@ -1,3 +1,3 @@\n one\n-{1}\n+{2}\n three\n"
MAIL = "From x Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: {0}\n\nText.\n---\n{1}-- \n2.0\n\n"


class SeriesTest(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.top = Path(scratch.name)
        self.tree = self.top / "tree"
        self.tree.mkdir()
        (self.tree / "file").write_text("one\ntwo\nthree\n")

    def patch_dir(self, **patches: str) -> Path:
        where = self.top / "patches"
        where.mkdir(exist_ok=True)
        for name, content in patches.items():
            (where / f"{name}.patch").write_text(content)
        return where

    def content(self) -> str:
        return (self.tree / "file").read_text()

    def test_directory_in_order_of_names(self) -> None:
        where = self.patch_dir(b=DIFF.format("file", "2", "zwei"), a=DIFF.format("file", "two", "2"))
        series.apply(series.load(where), self.tree)
        self.assertEqual(self.content(), "one\nzwei\nthree\n")

    def test_series_file_gives_the_order(self) -> None:
        where = self.patch_dir(a=DIFF.format("file", "2", "zwei"), b=DIFF.format("file", "two", "2"))
        (where / "series").write_text("# first things first\nb.patch\na.patch -p1\n")
        series.apply(series.load(where), self.tree)
        self.assertEqual(self.content(), "one\nzwei\nthree\n")

    def test_series_file_with_an_absent_patch(self) -> None:
        where = self.patch_dir(a="")
        (where / "series").write_text("c.patch\n")
        with self.assertRaisesRegex(BadInput, "c.patch, which is not there"):
            series.load(where)

    def test_mailbox_out_of_order_with_cover_reply_and_old_version(self) -> None:
        mails = [("[PATCH v2 2/2] second", DIFF.format("file", "2", "zwei")), ("[PATCH v2 0/2] cover", "no diff\n"),
                 ("Re: [PATCH v2 1/2] first", DIFF.format("file", "x", "y")),
                 ("[PATCH 1/2] first", DIFF.format("file", "old", "older")),
                 ("[PATCH v2 1/2] first", DIFF.format("file", "two", "2"))]
        path = self.top / "thread.mbox"
        path.write_text("".join(MAIL.format(*mail) for mail in mails))
        patches = series.load(path)
        self.assertEqual([patch.name for patch in patches], ["0001: first", "0002: second"])
        series.apply(patches, self.tree)
        self.assertEqual(self.content(), "one\nzwei\nthree\n")

    def test_plain_diff_file(self) -> None:
        path = self.top / "one.diff"
        path.write_text(DIFF.format("file", "two", "2"))
        self.assertEqual(len(series.load(path)), 1)

    def test_cover_letter_is_left_out(self) -> None:
        where = self.patch_dir(a=DIFF.format("file", "two", "2"))
        (where / "0000-cover-letter.patch").write_text(MAIL.format("[PATCH v2 00/11] cover", " file | 2 +-\n"))
        self.assertEqual([patch.name for patch in series.load(where)], ["a.patch"])

    def test_patch_without_a_change(self) -> None:
        where = self.patch_dir(a=MAIL.format("[PATCH 1/2] nothing", ""))
        with self.assertRaisesRegex(BadInput, "a.patch changes nothing"):
            series.load(where)

    def test_damaged_patch(self) -> None:
        where = self.patch_dir(a=DIFF.format("file", "two", "2").replace(" one\n", "one\n"))
        with self.assertRaisesRegex(BadInput, "a.patch is damaged .*malformed patch at line"):
            series.apply(series.load(where), self.tree)

    def test_touched_files(self) -> None:
        texts = (DIFF.format("a", "1", "2"), "--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+x\n",
                 "--- linux.orig/gone file\t2026\n+++ /dev/null\n", "rename from old/x\nrename to new/x\n",
                 DIFF.format("new", "1", "2"))
        self.assertEqual(series.touched([series.Patch("", text.encode()) for text in texts]),
                         {"a": True, "new": False, "gone file": True, "old/x": True, "new/x": True})

    def test_file_outside_of_the_tree(self) -> None:
        with self.assertRaisesRegex(BadInput, "outside"):
            series.touched([series.Patch("", DIFF.format("../x", "1", "2").encode())])

    def test_failing_patch_is_named_with_file_and_hunk(self) -> None:
        where = self.patch_dir(a=DIFF.format("file", "absent", "2"))
        with self.assertRaisesRegex(Failure, r"a\.patch does not apply \(file: Hunk #1 FAILED at 1"):
            series.apply(series.load(where), self.tree)
        self.assertEqual(self.content(), "one\ntwo\nthree\n")

    def test_patch_for_an_absent_file(self) -> None:
        where = self.patch_dir(a=DIFF.format("nowhere", "two", "2"))
        with self.assertRaisesRegex(Failure, "nowhere is not in this kernel"):
            series.apply(series.load(where), self.tree)

    def test_tree_inside_a_git_repository(self) -> None:
        (self.top / ".git").mkdir()
        (self.top / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
        series.apply(series.load(self.patch_dir(a=DIFF.format("file", "two", "2"))), self.tree)
        self.assertIn("2", self.content())

    def test_nothing_to_apply(self) -> None:
        empty = self.top / "empty"
        empty.mkdir()
        (self.top / "text").write_text("hello\n")
        for path in (empty, self.top / "text", self.top / "absent"):
            with self.assertRaises(BadInput):
                series.load(path)


class RecipeTest(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.fragment = Path(scratch.name) / "config"
        self.fragment.write_text("CONFIG_A=y\n")

    def key(self, identity: str = "x", content: bytes = b"p") -> str:
        source = linux_source.Source(Path("/none"), identity, "")
        return kernel.Recipe(source, [series.Patch("n", content)], [self.fragment]).key()

    def test_every_input_changes_the_key(self) -> None:
        first = self.key()
        self.assertEqual(first, self.key())
        keys = {first, self.key(identity="y"), self.key(content=b"q")}
        self.fragment.write_text("CONFIG_A=n\n")
        self.assertEqual(len(keys | {self.key()}), 4)

    def test_options(self) -> None:
        text = 'CONFIG_A=y\nCONFIG_B="text"\n# CONFIG_C is not set\n# CONFIG_D may be set\nCONFIG_E=32\n'
        self.assertEqual(kernel.options(text),
                         {"CONFIG_A": "y", "CONFIG_B": '"text"', "CONFIG_C": "n", "CONFIG_E": "32"})

    def test_source_that_is_none(self) -> None:
        with self.assertRaisesRegex(BadInput, "not a kernel source"):
            linux_source.given(self.fragment.parent)


if __name__ == "__main__":
    unittest.main()
