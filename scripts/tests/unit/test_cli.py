# SPDX-License-Identifier: GPL-2.0-or-later
"""However the program is called, and wherever its output goes, it ends with a status and at most one line."""
import contextlib
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from rmpopt_cli import cli
from rmpopt_cli.base.catalogue import chosen
from rmpopt_cli.base.errors import OK, SETUP_FAILED, SIGNALLED, USAGE, BadInput, interrupted_means, resumed
from rmpopt_cli.base.paths import PROGRAM
from rmpopt_cli.experiments.catalogue import EXPERIMENTS


class StreamsTest(unittest.TestCase):
    """Of "scenario list", which prints without any set-up."""
    LIST = f"{PROGRAM} scenario list"

    def run_shell(self, command: str) -> tuple[int, str]:
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        self.assertNotIn("Traceback", done.stderr)
        self.assertNotIn("Exception ignored", done.stderr)
        return done.returncode, done.stderr

    def refused(self, says: str, command: str) -> None:
        status, told = self.run_shell(command)
        self.assertEqual(status, SETUP_FAILED)
        self.assertRegex(told, f"^rmpopt: error: .*{says}.*\n$")

    def test_stdout_is_full(self) -> None:
        self.refused("stdout: No space left on device: results", f"{self.LIST} > /dev/full")

    def test_stdout_is_closed(self) -> None:
        self.refused("stdout is closed", f"{self.LIST} >&-")

    def test_the_reader_has_ended(self) -> None:
        # The pipe's reader is gone before the first line.
        self.refused("reader of our output has ended", f"exec 3> >(exit); wait $!; {self.LIST} >&3")

    def test_other_streams(self) -> None:
        for streams in ("2>&-", "<&-", "<&- 2>&-", "2>/dev/full"):
            self.assertEqual(self.run_shell(f"{self.LIST} {streams}")[0], OK, streams)

    def test_messages_do_not_go_to_stdout(self) -> None:
        text = subprocess.run(["bash", "-c", f"{PROGRAM} boot --kernel /nonexistent 2>&-"], stdout=subprocess.PIPE)
        self.assertEqual((text.returncode, text.stdout), (USAGE, b""))

    def test_interrupted_while_it_starts(self) -> None:
        numbers = itertools.cycle((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
        for number, milliseconds in zip(numbers, (*range(5, 100, 5), *range(100, 400, 50))):
            process = subprocess.Popen([PROGRAM, "boot", "--kernel", "/nonexistent"], stderr=subprocess.PIPE, text=True,
                                       preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
            time.sleep(milliseconds / 1000)
            process.send_signal(number)
            told = process.communicate()[1]
            # It may have been too early, too late, or in the middle of another line.
            self.assertIn(process.returncode, (SIGNALLED + number, -number, USAGE), told)
            self.assertRegex(told, "^(rmpopt: error: .*\n?){0,2}$")

    @contextlib.contextmanager
    def reading(self, hangup: Any = signal.SIG_DFL) -> Iterator[subprocess.Popen[str]]:
        """A "report" that reads from a named pipe, and does not come to its end by itself. hangup: what SIGHUP does.
        Where the tests run below nohup or as a background job, it and SIGINT are ignored."""
        def handlers() -> None:
            signal.signal(signal.SIGHUP, hangup)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        with tempfile.TemporaryDirectory() as top:
            os.mkfifo(Path(top, "report.json"))
            process = subprocess.Popen([PROGRAM, "report", top], stderr=subprocess.PIPE, text=True,
                                       preexec_fn=handlers)
            self.addCleanup(process.kill)
            with Path(top, "report.json").open("w"):
                yield process

    def ends_with(self, process: subprocess.Popen[str], number: int, says: str) -> None:
        time.sleep(0.2)  # a signal that comes just before read() blocks is seen only after it
        process.send_signal(number)
        told = process.communicate(timeout=30)[1]
        self.assertEqual((process.returncode, told[:15 + len(says)]), (SIGNALLED + number, f"rmpopt: error: {says}"))
        self.assertEqual(told.count("\n"), 1)

    def test_each_signal_that_ends_us_is_told(self) -> None:
        for number, says in ((signal.SIGTERM, "ended by SIGTERM"), (signal.SIGHUP, "ended by SIGHUP"),
                             (signal.SIGINT, "interrupted")):
            with self.reading() as process:
                self.ends_with(process, number, says)

    def test_nohup(self) -> None:
        with self.reading(signal.SIG_IGN) as process:
            process.send_signal(signal.SIGHUP)
            with self.assertRaises(subprocess.TimeoutExpired):
                process.wait(0.3)
            self.ends_with(process, signal.SIGTERM, "ended by SIGTERM")

    def test_interrupts_that_were_ignored_stay_so(self) -> None:
        """As of a job that a script has put into the background."""
        status, _ = self.run_shell(f"trap '' INT; {self.LIST} >/dev/null & sleep 0.2; kill -INT $!; wait $!")
        self.assertEqual(status, OK)


class UnknownWordsTest(unittest.TestCase):
    """The verb's own usage is shown, and what was probably meant."""

    def refused(self, usage: str, says: str, *words: str) -> None:
        told = io.StringIO()
        with contextlib.redirect_stderr(told), self.assertRaises(SystemExit) as ended:
            cli.parser().parse_args(words)
        self.assertEqual(ended.exception.code, USAGE)
        self.assertRegex(told.getvalue(), f"^usage: rmpopt {usage}.*\n(.*\n)*rmpopt: error: {says}$")

    def test_options(self) -> None:
        meant = r"no option --mesure \(did you mean --measure\?\)"
        self.refused("boot", meant, "boot", "--mesure", "exact")
        self.refused("boot", meant, "boot", "--mesure=exact", "--", "true")
        self.refused("scenario run", meant, "scenario", "run", "boot", "--mesure", "exact")
        self.refused("ctl status", "no option --xyz", "ctl", "status", "--xyz")

    def test_words(self) -> None:
        self.refused("ctl status", r"what is meant by: a b\?", "ctl", "status", "a", "b")

    def test_names(self) -> None:
        with self.assertRaisesRegex(BadInput, r"'workload' \(did you mean workloads\?\): .*: passes, spread, "):
            chosen(EXPERIMENTS, ["workload"], "experiment")


class InterruptedTest(unittest.TestCase):
    def said(self, action: Callable[[], None]) -> str:
        parsed = mock.Mock(action=lambda _: action())
        told = io.StringIO()
        with mock.patch.object(cli, "parser", return_value=mock.Mock(parse_args=lambda _: parsed)), \
                mock.patch.object(signal, "signal"), contextlib.redirect_stderr(told):
            self.assertEqual(cli.main([]), 130)
        return told.getvalue()

    def test_what_the_next_run_does(self) -> None:
        def work() -> None:
            raise KeyboardInterrupt
        set_up = resumed(work)
        search = interrupted_means("the search goes on")(set_up)
        self.assertEqual([self.said(each) for each in (work, set_up, search)],
                         ["rmpopt: error: interrupted\n",
                          "rmpopt: error: interrupted: the next run goes on from here\n",
                          "rmpopt: error: interrupted: the search goes on\n"])


class JsonTest(unittest.TestCase):
    """A program that reads our JSON gets some, however the command fails."""

    def of(self, *words: str, **options: object) -> tuple[int, str]:
        done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)
        return done.returncode, done.stdout

    def test_bad_input(self) -> None:
        for words in (["boot", "--json", "--kernel", "/none"], ["boot", "--json", "--mem", "much"]):
            status, text = self.of(*words, "--", "true")
            told = json.loads(text)
            self.assertEqual((status, told["outcome"], told["status"]), (USAGE, "bad-input", USAGE))
            self.assertIn(words[-1], told["message"])

    def test_no_such_option(self) -> None:
        status, text = self.of("boot", "--json", "--none")
        self.assertEqual((status, json.loads(text)["outcome"]), (USAGE, "bad-input"))
        self.assertTrue(self.of("boot", "--help", "--json")[1].startswith("usage:"))

    def test_terminated(self) -> None:
        script = ("import os, signal, sys\nfrom unittest import mock\nfrom rmpopt_cli import cli\n"
                  "with mock.patch.object(cli, 'parser') as parser:\n"
                  "    parser().parse_args = lambda _: os.kill(os.getpid(), signal.SIGTERM)\n"
                  "    sys.exit(cli.main(['x', '--json']))\n")
        done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=PROGRAM.parent)
        told = json.loads(done.stdout)
        self.assertEqual((done.returncode, told["outcome"], told["status"]), (143, "interrupted", 143))

    def test_set_up_failed(self) -> None:
        status, text = self.of("boot", "--json", env={**os.environ, "RMPOPT_CACHE": "/dev/null/x"})
        self.assertEqual((status, json.loads(text)["outcome"]), (SETUP_FAILED, "setup-failed"))

    def test_not_asked_for(self) -> None:
        self.assertEqual(self.of("boot", "--kernel", "/none", "--", "ls", "--json"), (USAGE, ""))

    def test_not_twice(self) -> None:
        script = ("import sys\nfrom unittest import mock\nfrom rmpopt_cli import cli\n"
                  "from rmpopt_cli.base.errors import Failure\n"
                  "def work(_):\n    print('[1]')\n    raise Failure('late')\n"
                  "with mock.patch.object(cli, 'parser') as parser:\n"
                  "    parser().parse_args = lambda _: mock.Mock(action=work)\n    cli.main(['x', '--json'])\n")
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                              cwd=PROGRAM.parent)
        self.assertEqual((done.stdout, done.stderr), ("[1]\n", "rmpopt: error: late\n"))


class ProblemTest(unittest.TestCase):
    def test_what_is_said(self) -> None:
        full = OSError(28, "No space left on device", "/somewhere/file")
        self.assertRegex(cli._explained(full), "^/somewhere/file: No space left on device: make room.*RMPOPT_CACHE")
        self.assertEqual(cli._explained(OSError(5, "Input/output error")), "Input/output error")


if __name__ == "__main__":
    unittest.main()
