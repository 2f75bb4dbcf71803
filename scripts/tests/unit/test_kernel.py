# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels built from a tree of a few lines: what is kept, and that variants reuse the reference kernel's tree."""
import tarfile
import tempfile
import unittest
from pathlib import Path

from rmpopt_cli.provision import kernel, series
from rmpopt_cli.provision.cache import Cache
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
        with tarfile.open(self.top / "linux.tar", "w") as archive:
            archive.add(tree, "linux")
        return Source(self.top / "linux.tar", "test", "Linux for a test")

    def trees(self) -> list[Path]:
        return list((self.cache.root / "work").glob("kernel-*"))

    def test_variants_are_built_in_the_tree_of_their_base(self) -> None:
        recipe = kernel.Recipe(self.source(), [patch("plain", "series")], [self.fragment], [patch("series", "variant")])
        kernel.ensure(self.cache, recipe.base(), keep_tree=True)
        self.assertEqual(len(self.trees()), 1)
        times = (self.trees()[0] / "build" / "times")
        self.assertEqual(times.read_text(), "built\n")
        times.write_text("kept\n")
        build = kernel.Build(self.cache, recipe, keep_tree=True)
        where = self.top / "out"
        where.mkdir()
        build.run(where)
        self.assertEqual((where / "bzImage").read_text(), "variant\n")
        self.assertEqual(times.read_text(), "kept\nbuilt\n")

    def test_both_are_built_when_both_are_missing(self) -> None:
        recipe = kernel.Recipe(self.source(), [patch("plain", "series")], [self.fragment], [patch("series", "variant")])
        variants = kernel.with_base(self.cache, recipe)
        self.assertEqual((variants / "bzImage").read_text(), "variant\n")
        base = self.cache.find(kernel.KIND, recipe.base().key())
        assert base
        self.assertEqual((base / "bzImage").read_text(), "series\n")
        self.assertEqual(self.trees(), [])

    def test_variants_alone_are_built_from_the_source(self) -> None:
        recipe = kernel.Recipe(self.source(), [patch("plain", "series")], [self.fragment], [patch("series", "variant")])
        self.assertEqual((kernel.ensure(self.cache, recipe) / "bzImage").read_text(), "variant\n")
        self.assertEqual(self.trees(), [])

    def test_patch_that_does_not_fit(self) -> None:
        recipe = kernel.Recipe(self.source(), [patch("other", "series")], [self.fragment])
        with self.assertRaises(kernel.DoesNotApply):
            kernel.ensure(self.cache, recipe)
        self.assertEqual(self.trees(), [])

    def test_keys_differ(self) -> None:
        recipe = kernel.Recipe(self.source(), [patch("plain", "series")], [self.fragment], [patch("series", "variant")])
        self.assertNotEqual(recipe.key(), recipe.base().key())
        self.assertEqual(recipe.base().key(), recipe.base().base().key())


if __name__ == "__main__":
    unittest.main()
