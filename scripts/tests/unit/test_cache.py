# SPDX-License-Identifier: GPL-2.0-or-later
"""The cache finds damage and makes entries again."""
import contextlib
import io
import os
import signal
import tempfile
import time
import unittest
from pathlib import Path

from rmpopt_cli.base.errors import Failure
from rmpopt_cli.base.shell import logged
from rmpopt_cli.provision.cache import MANIFEST, Cache, damage


class CacheTest(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.cache = Cache(Path(scratch.name) / "cache")
        self.made = 0

    def make(self, where: Path) -> None:
        self.made += 1
        (where / "dir").mkdir()
        (where / "dir" / "file").write_text("content")
        (where / "link").symlink_to("dir/file")

    def entry(self) -> Path:
        return self.cache.ensure("kind", "key", self.make)

    def test_second_use_makes_nothing(self) -> None:
        self.assertEqual(self.entry(), self.entry())
        self.assertEqual(self.made, 1)

    def test_truncated_file_is_replaced(self) -> None:
        (self.entry() / "dir" / "file").write_text("cont")
        self.assertEqual((self.entry() / "dir" / "file").read_text(), "content")
        self.assertEqual(self.made, 2)

    def test_same_size_change_is_found_by_content(self) -> None:
        (self.entry() / "dir" / "file").write_text("CONTENT")
        self.assertIsNotNone(damage(self.cache.root / "kind" / "key"))

    def test_missing_file_link_and_manifest_are_found(self) -> None:
        for name in ("dir/file", "link", MANIFEST):
            with self.subTest(name):
                (self.entry() / name).unlink()
                self.assertIsNone(self.cache.find("kind", "key"))
        self.entry()
        self.assertEqual(self.made, 4)

    def test_touched_but_equal_file_is_fine(self) -> None:
        path = self.entry() / "dir" / "file"
        path.touch()
        self.assertIsNotNone(self.cache.find("kind", "key"))

    def test_failed_make_leaves_no_entry(self) -> None:
        def fail(where: Path) -> None:
            (where / "half").write_text("")
            raise Failure("no")
        with self.assertRaises(Failure):
            self.cache.ensure("kind", "key", fail)
        self.assertFalse((self.cache.root / "kind" / "key").exists())
        self.entry()
        self.assertEqual(self.made, 1)

    def test_half_made_entry_under_the_final_name_is_replaced(self) -> None:
        half = self.cache.root / "kind" / "key"
        half.mkdir(parents=True)
        (half / "dir").mkdir()
        self.entry()
        self.assertEqual(self.made, 1)

    def test_entry_of_another_key_is_refused(self) -> None:
        self.entry().rename(self.cache.root / "kind" / "other")
        self.assertIsNone(self.cache.find("kind", "other"))

    def test_room(self) -> None:
        self.cache.prepare()
        self.cache.require(1 << 20, "a test")
        with self.assertRaisesRegex(Failure, r"has \d+ MiB left, and a test needs 1125899906842624"):
            self.cache.require(1 << 70, "a test")

    def test_newest_skips_damaged(self) -> None:
        first = self.cache.ensure("kind", "one", self.make)
        second = self.cache.ensure("kind", "two", self.make)
        (second / MANIFEST).write_text("{")
        self.assertEqual(self.cache.newest("kind"), first)

    def test_cache_that_takes_no_files(self) -> None:
        blocker = self.cache.root
        blocker.parent.mkdir(exist_ok=True)
        blocker.write_text("a file where the directory should be")
        with self.assertRaisesRegex(Failure, "not writable"):
            self.cache.prepare()

    def test_lock_nests(self) -> None:
        with self.cache.lock("kind"), self.cache.lock("kind"):
            self.entry()

    def test_lock_is_held_until_the_program_has_ended(self) -> None:
        """If rmpopt is killed and its make is not, a second make must not start in the same tree."""
        maker = os.fork()
        if maker == 0:
            with self.cache.lock("kind"):
                logged(["sh", "-c", f"touch {self.cache.root}/begun; sleep 1; touch {self.cache.root}/ended"],
                       self.cache.root / "log")
        while not (self.cache.root / "begun").exists():
            time.sleep(0.01)
        os.kill(maker, signal.SIGKILL)
        os.waitpid(maker, 0)
        self.assertFalse((self.cache.root / "ended").exists())
        with contextlib.redirect_stderr(io.StringIO()), self.cache.lock("kind"):
            self.assertTrue((self.cache.root / "ended").exists())

    def test_two_processes_make_an_entry_once(self) -> None:
        def slow(where: Path) -> None:
            time.sleep(0.2)
            (where / "made-by").write_text(str(os.getpid()))
        children = []
        for _ in range(4):
            child = os.fork()
            if child == 0:
                with contextlib.redirect_stderr(None):
                    Cache(self.cache.root).ensure("kind", "key", slow)
                os._exit(0)
            children.append(child)
        self.assertEqual([os.waitpid(child, 0)[1] for child in children], [0] * 4)
        maker = int((self.cache.root / "kind" / "key" / "made-by").read_text())
        self.assertIn(maker, children)

    def test_damaged_entries_are_listed_and_dropped(self) -> None:
        (self.entry() / "dir" / "file").write_text("CONTENT")
        self.cache.ensure("kind", "good", self.make)
        self.assertEqual([entry.name for entry, _ in self.cache.damaged()], ["key"])
        self.cache.drop_damaged()
        self.assertEqual([entry.name for entry in self.cache.entries()], ["good"])

    def test_leftovers_of_an_interrupted_set_up_do_no_harm(self) -> None:
        leftover = self.cache.root / "partial" / "kind" / "key"
        leftover.mkdir(parents=True)
        (leftover / "half").write_text("")
        self.assertFalse((self.entry() / "half").exists())
        self.assertEqual(self.cache.damaged(), [])


if __name__ == "__main__":
    unittest.main()
