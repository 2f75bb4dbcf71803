# SPDX-License-Identifier: GPL-2.0-or-later
"""What a boot executes in its guest."""
import contextlib
import io
import os
import stat
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from rmpopt_cli.guest import linux
from rmpopt_cli.guest.machine import MachineOptions
from rmpopt_cli.guest.request import Request, script_of
from rmpopt_cli.guest.view import View
from rmpopt_cli.guest.workspace import Workspace


class CommandTest(unittest.TestCase):
    def run_script(self, *words: str) -> str:
        """Its output where stdin never ends."""
        reader, writer = os.pipe()
        try:
            return subprocess.run(["sh", "-c", script_of(words)], stdin=reader, capture_output=True, text=True,
                                  timeout=60).stdout
        finally:
            os.close(reader)
            os.close(writer)

    def test_stdin_ends_and_no_pager_waits(self) -> None:
        self.assertEqual(self.run_script("cat; echo $PAGER $GIT_PAGER"), "cat cat\n")

    def test_a_word_is_a_script_and_words_are_a_command(self) -> None:
        self.assertEqual(self.run_script("echo a; echo b"), "a\nb\n")
        self.assertEqual(self.run_script("echo", "a; echo b"), "a; echo b\n")
        self.assertEqual(script_of([]), "")

    def test_lines_keep_their_numbers(self) -> None:
        self.assertIn(": 2:", subprocess.run(["dash", "-c", script_of(["true\n. /nonexistent"])], capture_output=True,
                                             text=True).stderr)


class DebuggerTest(unittest.TestCase):
    def test_qemu_waits_for_gdb(self) -> None:
        space = Workspace(Path("/report"), Path("/run"))
        for wanted in (True, False):
            with mock.patch.object(linux.machine, "command", return_value=["qemu"]):
                words = linux._arguments(mock.Mock(), Request(gdb=wanted), mock.Mock(), space, Path("bzImage"),
                                         [])
            self.assertEqual([word for word in words if word in ("-s", "-S")], ["-s", "-S"] if wanted else [])


class ViewTest(unittest.TestCase):
    RESULT = {"module_problems": [], "trouble": [], "hints": [], "message": "", "stalls_missed": 0, "findings": [],
              "awaited": [], "guest_stages": None, "guest": {"release": ""}, "plugin": None, "seconds": {}, "status": 0,
              "report": "/where"}

    def test_the_report_of_a_good_boot_is_named_if_asked_for(self) -> None:
        for wanted in (True, False):
            with contextlib.redirect_stderr(io.StringIO()) as told:
                View(Request(verbose=wanted)).close(self.RESULT, [])
            self.assertEqual("report: /where" in told.getvalue(), wanted)


class LookTest(unittest.TestCase):
    """With --watch-fatal, the guest goes on while the watch waits for something."""

    def run_script(self, command: str, due: int) -> tuple[int, str, int]:
        """Status and output in a guest whose watch is asked `due` times before it is content, and how often it was
        asked."""
        with tempfile.TemporaryDirectory() as directory:
            top = Path(directory)
            for name, text in (("rmpopt-mark", f"echo >>{top}/asked; [ $(wc -l <{top}/asked) -le {due} ]"),
                               ("sleep", ":")):
                (top / name).write_text(f"#!/bin/sh\n{text}\n")
                (top / name).chmod(stat.S_IRWXU)
            (top / "asked").touch()
            request = Request(watch_fatal=True, command=command, machine=MachineOptions(watch_bound=5))
            done = subprocess.run(["sh", "-c", linux._script(request)], capture_output=True, text=True, timeout=60,
                                  env={**os.environ, "PATH": f"{top}:{os.environ['PATH']}"})
            return done.returncode, done.stdout, len((top / "asked").read_text())

    def test_until_nothing_is_awaited(self) -> None:
        self.assertEqual(self.run_script("echo 'it works'; exit 0", due=3), (0, "it works\n", 4))
        self.assertEqual(self.run_script("", due=0), (0, "", 1))

    def test_not_for_ever(self) -> None:
        self.assertEqual(self.run_script("true", due=1000), (0, "", 10))

    def test_a_command_that_fails_is_enough(self) -> None:
        self.assertEqual(self.run_script("echo no; exit 3", due=3), (3, "no\n", 0))

    def test_a_boot_without_a_command_looks_as_well(self) -> None:
        self.assertEqual(linux._action(Request(watch_fatal=True)), "command")
        self.assertEqual(linux._action(Request()), "show")
        self.assertEqual(linux._action(Request(watch_fatal=True, initrd=Path("initrd"))), "init")

    def test_without_it_the_script_is_the_command(self) -> None:
        self.assertEqual(linux._script(Request(command="true")), "true")


if __name__ == "__main__":
    unittest.main()
