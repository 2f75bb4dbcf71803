# SPDX-License-Identifier: GPL-2.0-or-later
"""However the program is called, and wherever its output goes, it ends with a status and at most one line."""
import contextlib
import io
import signal
import subprocess
import time
import unittest

from rmpopt_cli import cli
from rmpopt_cli.base.catalogue import chosen
from rmpopt_cli.base.errors import OK, SETUP_FAILED, USAGE, BadInput
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
        self.refused("No space left on device", f"{self.LIST} > /dev/full")

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
        for milliseconds in (*range(5, 100, 5), *range(100, 400, 50)):
            process = subprocess.Popen([PROGRAM, "boot", "--kernel", "/nonexistent"], stderr=subprocess.PIPE, text=True,
                                       preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
            time.sleep(milliseconds / 1000)
            process.send_signal(signal.SIGINT)
            told = process.communicate()[1]
            # It may have been too early, too late, or in the middle of another line.
            self.assertIn(process.returncode, (130, -signal.SIGINT, USAGE), told)
            self.assertRegex(told, "^(rmpopt: error: .*\n?){0,2}$")

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


class ProblemTest(unittest.TestCase):
    def test_what_is_said(self) -> None:
        full = OSError(28, "No space left on device", "/somewhere/file")
        self.assertRegex(cli._explained(full), "^/somewhere/file: No space left on device: make room.*RMPOPT_CACHE")
        self.assertEqual(cli._explained(OSError(5, "Input/output error")), "Input/output error")


if __name__ == "__main__":
    unittest.main()
