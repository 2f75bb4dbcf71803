# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels built from a tree of a few lines: what is kept, and how the next kernel reuses the tree."""
import contextlib
import io
import os
import shutil
import tarfile
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from rmpopt_cli.base.errors import Failure
from rmpopt_cli.provision import kernel, kernel_tree, linux_source, series
from rmpopt_cli.provision.cache import Cache, sha256_text
from rmpopt_cli.provision.kernel_tree import Tree
from rmpopt_cli.provision.linux_source import Source

MAKEFILE = """\
O ?= .
.PHONY: bzImage
tinyconfig olddefconfig:
\ttouch $(O)/.config
bzImage:
\techo "  CC      $@"
\techo built >> $(O)/times
\tmkdir -p $(O)/arch/x86/boot
\tcp text $(O)/arch/x86/boot/bzImage
\ttouch $(O)/System.map $(O)/vmlinux
"""


def patch(old: str, new: str) -> series.Patch:
    text = f"--- a/text\n+++ b/text\n@@ -1 +1 @@\n-{old}\n+{new}\n"
    return series.Patch(f"{old}-{new}", text.encode())


class KernelTest(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.top = Path(scratch.name)
        self.cache = Cache(self.top / "cache")
        self.fragment = self.top / "fragment"
        self.fragment.write_text("")

    def source(self) -> Source:
        tree = self.top / "linux"
        (tree / "scripts" / "kconfig").mkdir(parents=True)
        (tree / "Makefile").write_text(MAKEFILE)
        (tree / "Kconfig").write_text("")
        (tree / "text").write_text("plain\n")
        merge = tree / "scripts" / "kconfig" / "merge_config.sh"
        merge.write_text("#!/bin/sh\n")
        merge.chmod(0o755)
        return Source(self.packed(tree), "test", "Linux for a test")

    def packed(self, tree: Path) -> Path:
        tarball = self.top / f"{tree.name}.tar"
        with tarfile.open(tarball, "w") as archive:
            archive.add(tree, "linux")
        return tarball

    def later(self) -> Path:
        """The tree of a later Linux, whose text is another."""
        tree = self.top / "later"
        shutil.copytree(self.top / "linux", tree)
        (tree / "text").write_text("merged\n")
        return tree

    def build(self, source: Source, *patches: series.Patch) -> Path:
        return kernel.ensure(self.cache, kernel.Recipe(source, list(patches), [self.fragment]))

    def tree(self) -> Path:
        found, = (self.cache.root / "work").glob("kernel-*")
        return found

    def test_the_next_kernel_is_built_in_the_same_tree(self) -> None:
        source = self.source()
        times = ("plain", "series"), ("series", "variant")
        built = self.build(source, patch(*times[0]))
        self.assertEqual((built / "bzImage").read_text(), "series\n")
        (self.tree() / "build" / "times").write_text("kept\n")
        variants = self.build(source, *(patch(*pair) for pair in times))
        self.assertEqual((variants / "bzImage").read_text(), "variant\n")
        self.assertEqual((self.tree() / "build" / "times").read_text(), "kept\nbuilt\n")
        plain = self.build(source)
        self.assertEqual((plain / "bzImage").read_text(), "plain\n")

    def test_another_configuration_is_used_in_the_same_tree(self) -> None:
        source = self.source()
        first = self.build(source)
        self.fragment.write_text("CONFIG_A=y\n")
        self.assertNotEqual(self.build(source), first)
        configured = (self.tree() / "build" / "configured").read_text()
        self.assertEqual(configured, sha256_text("CONFIG_A=y\n"))

    def test_trees_of_other_sources_are_removed(self) -> None:
        source = self.source()
        self.build(source)
        other = Source(source.path, "other", "another")
        self.build(other)
        self.assertEqual(self.tree(), Tree(self.cache, other).top)

    def test_patch_that_does_not_fit(self) -> None:
        source = self.source()
        self.build(source, patch("plain", "series"))
        before = (self.tree() / "linux" / "text").stat().st_mtime_ns
        with self.assertRaisesRegex(series.DoesNotApply, "other-series does not apply"):
            self.build(source, patch("other", "series"))
        self.assertEqual((self.tree() / "linux" / "text").stat().st_mtime_ns, before)

    def test_patch_that_does_not_fit_is_found_before_anything_is_unpacked(self) -> None:
        source = self.source()
        with mock.patch.object(Source, "unpack", side_effect=AssertionError), self.assertRaises(series.DoesNotApply):
            self.build(source, patch("other", "series"))

    def with_rmpopt(self) -> Source:
        tree = self.later()
        header = tree / "arch/x86/include/asm/cpufeatures.h"
        header.parent.mkdir(parents=True)
        header.write_text("#define X86_FEATURE_RMPOPT (3*32+ 7)\n")
        return Source(self.packed(tree), "later", "Linux with RMPOPT")

    def reference(self, *sources: Source, patches: Path | None = None) -> tuple[str, str]:
        """The text of the kernel that is built from the first source that will do, and what was said."""
        told = io.StringIO()
        with mock.patch.object(linux_source, "candidates", lambda _: iter(sources)), \
                mock.patch.object(kernel, "KERNEL_FRAGMENT", self.fragment), \
                mock.patch.object(kernel, "SERIES", self.series()), contextlib.redirect_stderr(told):
            built = kernel.build(self.cache, None, patches, None)
            self.assertIn(built, [kernel.find_reference(self.cache, source) for source in sources])
        return (built / "bzImage").read_text().strip(), told.getvalue()

    def series(self) -> Path:
        where = self.top / "series"
        where.mkdir(exist_ok=True)
        (where / "1.patch").write_bytes(patch("plain", "series").content)
        return where

    def test_a_source_that_has_rmpopt_is_built_as_it_is(self) -> None:
        older = self.source()
        later = self.with_rmpopt()
        text, told = self.reference(later, older)
        self.assertEqual(text, "merged")
        self.assertIn("Linux with RMPOPT has RMPOPT itself, and patch 1.patch does not apply", told)
        text, told = self.reference(later, older)
        self.assertEqual((text, told), ("merged", ""))  # remembered

    def test_a_source_without_rmpopt_that_the_series_does_not_fit_is_passed_over(self) -> None:
        older = self.source()
        text, told = self.reference(Source(self.packed(self.later()), "bare", "Linux that differs"), older)
        self.assertEqual(text, "series")
        self.assertIn("Linux that differs: patch 1.patch does not apply", told)

    def test_a_series_of_the_user_is_never_left_out(self) -> None:
        older = self.source()
        self.assertEqual(self.reference(self.with_rmpopt(), older, patches=self.series())[0], "series")

    def test_what_a_given_source_is_built_as_is_said(self) -> None:
        self.source()
        for source, says in ((self.with_rmpopt(), "later.tar has RMPOPT itself"),
                             (Source(self.top / "linux.tar", "", ""), "linux.tar knows no RMPOPT")):
            with contextlib.redirect_stderr(io.StringIO()) as told, \
                    mock.patch.object(kernel, "KERNEL_FRAGMENT", self.fragment):
                kernel.build(self.cache, source.path, None, None)
            self.assertIn(says, told.getvalue())


class CandidatesTest(unittest.TestCase):
    """The order in which sources are tried, with a made-up archive."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.cache = Cache(Path(scratch.name))
        self.fetched: list[str] = []
        self.offered = {"linux-source-7.3": "7.3.9-1", "linux-source-7.4": "7.4.1-1", "linux-source-7.2": "7.2.3-1"}
        test = self

        class FakeArchive:
            def __init__(self, *_: object) -> None: pass
            def names(self, _: str) -> list[str]: return list(test.offered)
            def candidate(self, package: str) -> str: return test.offered[package]

        def fetch(_: object, package: str, version: str, __: object) -> Source:
            self.fetched.append(version)
            return Source(Path(package), "debian " + version, package)

        self.held = [Source(Path("linux-source-7.3.tar.xz"), "debian 7.3.4-1", "here")]
        self.enterContext(mock.patch.multiple(linux_source, Archive=FakeArchive, _fetch=fetch,
                                              cached=lambda _: self.held))

    def test_other_sources_of_the_same_version_are_not_tried(self) -> None:
        found = list(linux_source.candidates(self.cache))
        self.assertEqual(self.fetched, ["7.4.1-1"])
        self.assertEqual(found[0], self.held[0])

    def test_a_refresh_fetches_what_is_newer(self) -> None:
        linux_source.refresh(self.cache)
        self.assertEqual(self.fetched, ["7.4.1-1"])

    def test_a_refresh_fetches_nothing_older_and_nothing_when_there_is_nothing(self) -> None:
        self.held = [Source(Path("linux-source-7.5.tar.xz"), "debian 7.5.1-1", "here")]
        linux_source.refresh(self.cache)
        self.offered = {}
        linux_source.refresh(self.cache)
        self.assertEqual(self.fetched, [])

    def test_without_a_network_a_refresh_says_so_and_nothing_is_lost(self) -> None:
        with mock.patch.object(linux_source, "_offered", side_effect=Failure("no network")), \
                contextlib.redirect_stderr(io.StringIO()) as told:
            linux_source.refresh(self.cache)
        self.assertIn("no network", told.getvalue())


class TreeTest(unittest.TestCase):
    NEW = "--- /dev/null\n+++ b/{0}\n@@ -0,0 +1 @@\n+{1}\n"

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.top = Path(scratch.name)
        source = self.top / "source"
        source.mkdir()
        for name in ("Kconfig", "Makefile"):
            (source / name).write_text("")
        (source / "text").write_text("plain\n")
        (source / "other").write_text("other\n")
        self.source = Source(source, "test", "a source")
        self.tree = Tree(Cache(self.top / "cache"), self.source)

    def patch(self, *patches: series.Patch) -> None:
        with contextlib.redirect_stderr(io.StringIO()):
            self.tree.patch(list(patches))

    def new(self, name: str, content: str) -> series.Patch:
        return series.Patch(name, self.NEW.format(name, content).encode())

    def read(self, name: str) -> str:
        return (self.tree.path / name).read_text()

    def test_files_come_and_go_with_the_patches(self) -> None:
        self.patch(patch("plain", "series"), self.new("dir/added", "one"))
        self.assertEqual((self.read("text"), self.read("dir/added")), ("series\n", "one\n"))
        self.patch(self.new("dir/added", "two"))
        self.assertEqual((self.read("text"), self.read("dir/added")), ("plain\n", "two\n"))
        self.patch()
        self.assertFalse((self.tree.path / "dir/added").exists())

    def test_equal_files_keep_their_time_stamp(self) -> None:
        self.patch(patch("plain", "series"), self.new("added", "one"))
        os.utime(self.tree.path / "text", ns=(5, 5))
        os.utime(self.tree.path / "added", ns=(5, 5))
        self.patch(patch("plain", "series"), self.new("added", "two"))
        self.assertEqual((self.tree.path / "text").stat().st_mtime_ns, 5)
        self.assertNotEqual((self.tree.path / "added").stat().st_mtime_ns, 5)

    def test_interrupted_change_is_made_good(self) -> None:
        self.patch(patch("plain", "series"))
        with mock.patch.object(kernel_tree, "_install", side_effect=KeyboardInterrupt), \
                self.assertRaises(KeyboardInterrupt):
            self.patch(self.new("added", "one"))
        (self.tree.path / "added").write_text("half")
        self.patch(patch("plain", "other"))
        self.assertEqual(self.read("text"), "other\n")
        self.assertFalse((self.tree.path / "added").exists())

    def test_interrupted_unpacking_starts_anew(self) -> None:
        self.patch()
        (self.tree.path / "text").unlink()
        (self.tree.top / "unpacked").unlink()
        self.patch()
        self.assertEqual(self.read("text"), "plain\n")

    def test_half_written_list_starts_anew(self) -> None:
        self.patch(patch("plain", "series"))
        (self.tree.top / "patched").write_text('{"te')
        self.patch()
        self.assertEqual(self.read("text"), "plain\n")

    def test_created_file_that_is_there(self) -> None:
        with self.assertRaisesRegex(series.DoesNotApply, "other, which a patch creates, is there already"):
            self.patch(self.new("other", "mine"))
        self.assertEqual(self.read("other"), "other\n")
        self.patch(series.Patch("x", b"--- a/other\n+++ b/other\n@@ -1 +1 @@\n-other\n+another\n"))
        with self.assertRaises(series.DoesNotApply):
            self.patch(self.new("other", "mine"))

    def test_files_picked_from_a_tarball(self) -> None:
        with tarfile.open(self.top / "linux.tar", "w") as archive:
            archive.add(self.source.path, "linux-1")
        Source(self.top / "linux.tar", "t", "t").pick(["text", "absent"], self.top / "cache")
        self.assertEqual((self.top / "cache" / "text").read_text(), "plain\n")
        self.assertFalse((self.top / "cache" / "other").exists())


if __name__ == "__main__":
    unittest.main()
