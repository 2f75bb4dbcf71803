# SPDX-License-Identifier: GPL-2.0-or-later
"""A process that finds a lock taken waits and names the holder. Caches and checkouts do not damage what they share."""
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from unittest import mock

from rmpopt_cli.base import lock
from rmpopt_cli.base.parallel import together
from rmpopt_cli.provision import project
from rmpopt_cli.provision.cache import Cache

SCRIPTS = Path(__file__).parents[2]
HOLDER = """
import sys
from pathlib import Path
from rmpopt_cli.base import lock
with lock.held(Path(sys.argv[1]), "something"):
    print("held", flush=True)
    sys.stdin.readline()
"""


class Scratch(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.top = Path(scratch.name)


class LockTest(Scratch):
    @contextlib.contextmanager
    def other_process(self, path: Path):  # type: ignore[no-untyped-def]
        """Holds the lock until its standard input ends."""
        with subprocess.Popen([sys.executable, "-c", HOLDER, path, "boot"], cwd=SCRIPTS, text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), "held\n")
            yield process
            process.stdin.close()

    def test_waits_with_one_line_that_says_for_whom(self) -> None:
        path, said = self.top / "build.lock", io.StringIO()
        with self.other_process(path) as process, contextlib.redirect_stderr(said):
            threading.Timer(0.3, process.stdin.close).start()
            with lock.held(path, "the build directory"):
                self.assertEqual(process.wait(), 0)
        self.assertEqual(said.getvalue().count("\n"), 1)
        self.assertIn(f"waiting for process {process.pid} (rmpopt ", said.getvalue())
        self.assertIn("at work on the build directory", said.getvalue())

    def test_who_was_killed_holds_nothing(self) -> None:
        path, said = self.top / "build.lock", io.StringIO()
        with self.other_process(path) as process:
            process.kill()
            process.wait()
        with contextlib.redirect_stderr(said), lock.held(path, "it"):
            self.assertEqual(said.getvalue(), "")

    def test_threads_of_one_process_take_turns_and_one_may_nest(self) -> None:
        path, inside = self.top / "lock", []

        def enter() -> None:
            with lock.held(path, "it"), lock.held(path, "it"):
                inside.append("in")
                time.sleep(0.02)
                self.assertEqual(inside, ["in"])
                inside.clear()
        together(enter, enter, enter)

    def test_caches_have_locks_of_their_own(self) -> None:
        said = io.StringIO()
        first, second = Cache(self.top / "one"), Cache(self.top / "two")
        with self.other_process(first.directory("locks") / "kernel"), contextlib.redirect_stderr(said):
            with second.lock("kernel"):
                self.assertEqual(said.getvalue(), "")


class BuildTest(Scratch):
    """Two caches with one checkout, and two checkouts with one cache."""

    def checkout(self, name: str) -> Path:
        """A checkout whose build is configured with the library in a cache."""
        top = self.top / name
        (top / "build" / "meson-info").mkdir(parents=True)
        (top / "build" / "build.ninja").touch()
        (top / "meson.build").touch()
        return top

    def build(self, checkout: Path, cache: Path, calls: list[list[str]]) -> None:
        def run(words: list[str | Path], *_: object, **__: object) -> int:
            calls.append([str(word) for word in words])
            return 0
        with mock.patch.multiple(project, CHECKOUT=checkout, BUILD=checkout / "build",
                                 LOCK=checkout / "build.lock", WARNINGS_ARE_ERRORS="RMPOPT_NOT_SET", logged=run,
                                 output=lambda *_, **__: (0, "", "")), contextlib.redirect_stderr(None):
            project.build(Cache(cache), [Path("for-guests")])

    def configured(self, checkout: Path, buildtype: str = "release") -> None:
        listed = {"buildtype": buildtype, "b_ndebug": "false", "werror": "false", "tests": "true"}
        text = ", ".join(f'{{"name": "{n}", "type": "string", "value": "{v}"}}' for n, v in listed.items())
        info = checkout / "build" / "meson-info"
        (info / "intro-buildoptions.json").write_text(f"[{text}]")
        (info / "meson-info.json").write_text(
            json.dumps({"directories": {"source": str(checkout), "build": str(checkout / "build")}}))

    def test_another_cache_does_not_configure_anew(self) -> None:
        checkout, calls = self.checkout("tree"), []
        self.configured(checkout)
        self.build(checkout, self.top / "two", calls)
        self.assertEqual([words[3] for words in calls], ["ninja"])

    def test_a_checkout_that_was_moved_is_configured_anew(self) -> None:
        checkout, calls = self.checkout("tree"), []
        self.configured(checkout)
        moved = checkout.rename(self.top / "moved")
        self.build(moved, self.top / "cache", calls)
        self.assertEqual([words[:2] for words in calls], [["meson", "setup"], ["nice", "-n"]])
        self.assertFalse((moved / "build").exists())

    def test_other_options_are_replaced(self) -> None:
        checkout, calls = self.checkout("tree"), []
        self.configured(checkout, buildtype="debug")
        self.build(checkout, self.top / "two", calls)
        self.assertEqual([words[0] for words in calls], ["meson", "nice"])

    def test_two_caches_on_one_checkout_wait_for_each_other(self) -> None:
        checkout, calls = self.checkout("tree"), []
        self.configured(checkout)
        with lock.held(checkout / "build.lock", "it"):
            waiting = threading.Thread(target=self.build, args=(checkout, self.top / "two", calls))
            waiting.start()
            time.sleep(0.1)
            self.assertEqual(calls, [])
        waiting.join()
        self.assertEqual(len(calls), 1)

    def test_two_checkouts_on_one_cache_build_at_the_same_time(self) -> None:
        first, second, calls = self.checkout("first"), self.checkout("second"), []
        for checkout in (first, second):
            self.configured(checkout)
        with lock.held(first / "build.lock", "it"):
            self.build(second, self.top / "cache", calls)
        self.assertEqual(len(calls), 1)


if __name__ == "__main__":
    unittest.main()
