# SPDX-License-Identifier: GPL-2.0-or-later
"""Child programs are terminated properly, however this program ends."""
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

from rmpopt_cli.base.errors import TIMEOUT, Failure
from rmpopt_cli.base.parallel import stop, stopping, threads, together
from rmpopt_cli.base.shell import output


class OutputTest(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.addCleanup(stopping.clear)
        self.tidied = Path(scratch.name, "tidied")
        self.script = f"trap 'touch {self.tidied}; exit 3' TERM; while :; do sleep 0.05; done"

    def test_status_and_texts(self) -> None:
        self.assertEqual(output(["sh", "-c", "echo out; echo $X >&2; exit 7"], extra_env={"X": "told"}),
                         (7, "out\n", "told\n"))

    def test_program_that_is_none(self) -> None:
        self.assertEqual(output(["/nonexistent"])[0], 127)
        self.assertEqual(output(["/etc/passwd"])[0], 126)

    def test_much_text(self) -> None:
        self.assertEqual(len(output(["sh", "-c", "yes | head -c 1000000"])[1]), 1000000)

    def test_timeout(self) -> None:
        status, _, told = output(["sh", "-c", self.script], timeout=0.3)
        self.assertEqual(status, TIMEOUT)
        self.assertIn("no end within", told)
        self.assertTrue(self.tidied.exists())

    def test_told_to_stop(self) -> None:
        threading.Timer(0.3, stop).start()
        started = time.monotonic()
        output(["sh", "-c", self.script], timeout=60)
        self.assertLess(time.monotonic() - started, 20)
        self.assertTrue(self.tidied.exists())


class ThreadsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(stopping.clear)

    def test_in_order(self) -> None:
        with threads(3) as pool:
            self.assertEqual(list(pool.map(lambda x: 2 * x, range(5))), [0, 2, 4, 6, 8])
        self.assertFalse(stopping.is_set())

    def test_an_interrupt_ends_what_runs_and_what_waits(self) -> None:
        begun = []

        def work(number: int) -> None:
            begun.append(number)
            stopping.wait(30)
        with self.assertRaises(KeyboardInterrupt), threads(1) as pool:
            for number in range(3):
                pool.submit(work, number)
            raise KeyboardInterrupt
        self.assertLessEqual(len(begun), 1)


class TogetherTest(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(stopping.clear)

    def test_results_in_order(self) -> None:
        self.assertEqual(together(lambda: time.sleep(0.05) or 1, lambda: 2), [1, 2])

    def test_the_first_failure_ends_the_programs_of_the_others(self) -> None:
        def fail() -> None:
            time.sleep(0.2)
            raise Failure("no")
        ended = []

        def long() -> None:
            ended.append(output(["sleep", "60"])[0])
            ended.append(output(["sleep", "60"])[0])  # started too late
        begun = time.monotonic()
        with self.assertRaisesRegex(Failure, "^no$"):
            together(fail, long)
        self.assertLess(time.monotonic() - begun, 20)
        self.assertEqual(ended, [-15, -15])

    def test_a_signal_ends_the_programs(self) -> None:
        script = ("import os, signal, sys, threading\n"
                  "from rmpopt_cli.base import parallel, shell\n"
                  "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
                  "threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()\n"
                  "parallel.together(lambda: shell.output(['sleep', '60']), lambda: 1)\n")
        begun = time.monotonic()
        status, _, told = output([sys.executable, "-c", script], cwd=Path(__file__).parents[2])
        self.assertEqual(status, 143, told)
        self.assertLess(time.monotonic() - begun, 20)

    def test_nothing_outlives_us_even_if_we_are_killed(self) -> None:
        script = ("import os, signal, subprocess, time\n"
                  "from rmpopt_cli.base.shell import tied_to_us\n"
                  "program = subprocess.Popen(tied_to_us(['sh', '-c', 'echo started; exec sleep 60']),\n"
                  "                           stdout=subprocess.PIPE)\n"
                  "program.stdout.readline()\n"
                  "print(program.pid, flush=True)\n"
                  "os.kill(os.getpid(), signal.SIGKILL)\n")
        status, text, told = output([sys.executable, "-c", script], cwd=Path(__file__).parents[2])
        self.assertEqual(status, -9, told)
        deadline = time.monotonic() + 10
        while Path(f"/proc/{int(text)}/exe").exists():  # a zombie, which waits for init, has none
            self.assertLess(time.monotonic(), deadline, "sleep goes on")
            time.sleep(0.05)


if __name__ == "__main__":
    unittest.main()
