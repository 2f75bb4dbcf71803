# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs QEMU, follows what the guest reports, and ends QEMU."""
import contextlib
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import GUEST_DIED, OK, QEMU_FAILED, SETUP_FAILED, SIGNALLED, TIMEOUT
from ..base.parallel import stopping
from ..base.shell import environment, last_line, tied_to_us
from .guest_link import GuestLink
from .proofs import panic
from .workspace import Workspace

POLL = 0.05
SHOWN = 100  # characters of the last output, in a message
TIME_LIMIT = re.compile(r"the time limit of (.*) is over")  # as the plugin says
GRACE = 15.0  # seconds for QEMU to end, by itself or after SIGTERM
NOISE = ("warning: TCG doesn't support requested feature", "terminating on signal", "doesn't support hyperthreading")


@dataclass
class Ending:
    """How a run ended: exit status, outcome word, and a line for people."""
    status: int
    outcome: str
    message: str = ""


def interruption(problem: KeyboardInterrupt | SystemExit) -> Ending:
    """How a run ends that a signal stops. SystemExit has the status of the signal."""
    status = problem.code if isinstance(problem, SystemExit) else SIGNALLED + signal.SIGINT
    return Ending(int(status or SETUP_FAILED), "interrupted", "interrupted")


def qemu_messages(log: Path) -> list[str]:
    """Messages of QEMU and the plugin, without QEMU's warnings about features that TCG lacks and about the topology,
    which the plugin supplies."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return [line.strip() for line in text.splitlines() if line.strip() and not any(noise in line for noise in NOISE)]


class Session:
    def __init__(self, argv: list[str], space: Workspace, link: GuestLink, timeout: float,
                 interactive: bool = False, verbose: bool = False, reboots: int = 0, to_the_end: bool = False) -> None:
        self._argv, self._space, self._link = argv, space, link
        self._timeout, self._interactive, self._verbose = timeout, interactive, verbose
        self._reboots = reboots
        self._to_the_end = to_the_end  # the guest powers itself off; we would do it at another moment each time
        self._start = time.monotonic()
        self._position = 0  # of the status log: what the link knows
        self.seconds_to_init = 0.0

    def run(self) -> Ending:
        with self._space.qemu_log.open("wb") as log:
            try:
                process = subprocess.Popen(tied_to_us(self._argv),
                                           stdin=None if self._interactive else subprocess.DEVNULL,
                                           stdout=self._stdout(), stderr=log, env=environment())
            except OSError as problem:
                return Ending(QEMU_FAILED, "qemu-failed", f"QEMU can't be started: {problem.strerror}")
            self._start = time.monotonic()
            try:
                ending = self._follow(process)
            finally:
                self._stop(process)
                self._read_on()
        return ending or self._explain_exit(process.returncode)

    def _stdout(self) -> int | None:
        if self._interactive:
            return None
        return sys.stderr.fileno() if self._verbose else subprocess.DEVNULL

    def _follow(self, process: subprocess.Popen[bytes]) -> Ending | None:
        """Waits until the guest is done or the time is up. Returns None if QEMU ended by itself."""
        while process.poll() is None:
            if stopping.is_set():
                return Ending(SETUP_FAILED, "interrupted", "interrupted")
            self._read_on()
            if self._link.said("done"):
                if self._to_the_end:
                    self._await_end(process)
                return Ending(OK, "done")
            if self._link.starts > self._reboots + 1:
                return Ending(GUEST_DIED, "died", f"the guest started anew more than {self._reboots} times, "
                              f"last words: {self._whereabouts()}")
            if time.monotonic() - self._start > self._timeout and not self._link.said("shell"):
                return Ending(TIMEOUT, "timeout", f"{self._unfinished(f'{self._timeout:.0f} s')}: raise --timeout or "
                              "look for a hang")
            time.sleep(POLL)
        return None

    def _read_on(self) -> None:
        if not self._space.status.exists():
            return
        with self._space.status.open("rb") as stream:
            stream.seek(self._position)
            data = stream.read()
        self._position += len(data)
        if data:
            self._link.feed(data)
        if not self.seconds_to_init and self._link.said("hello"):
            self.seconds_to_init = time.monotonic() - self._start

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        """Ends QEMU. After SIGTERM the plugin can still write its last report."""
        if process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _await_end(self, process: subprocess.Popen[bytes]) -> None:
        """Of a guest that cannot power itself off, the end is ours."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)

    def _unfinished(self, limit: str) -> str:
        """What the guest was at when its time was up."""
        if not self._link.command_runs:
            return f"no end within {limit}, guest got to: {self._whereabouts()}"
        output = self._link.text(self._link.LIVE)
        last = f"last output: {last_line(output)[:SHOWN]}" if output.strip() else "without any output"
        return f"the command was still running after {limit} ({last})"

    def _whereabouts(self) -> str:
        text = self._space.console.read_text(errors="replace") if self._space.console.exists() else ""
        return last_line(text)

    def _explain_exit(self, status: int) -> Ending:
        if self._link.said("done"):
            return Ending(OK, "done")
        if status < 0:
            return Ending(QEMU_FAILED, "qemu-killed", f"QEMU was ended by {signal.Signals(-status).name}")
        if status > 0:
            messages = qemu_messages(self._space.qemu_log) + qemu_messages(self._space.plugin_log)
            return Ending(QEMU_FAILED, "qemu-failed", messages[-1] if messages else f"QEMU ended with status {status}")
        return self._explain_silence()

    def _explain_silence(self) -> Ending:
        console = self._space.console.read_text(errors="replace") if self._space.console.exists() else ""
        reason = panic(console)
        if reason:
            return Ending(GUEST_DIED, "panic", f"the guest kernel panicked: {reason}")
        over = TIME_LIMIT.search("\n".join(qemu_messages(self._space.plugin_log)))
        if over:
            return Ending(TIMEOUT, "timeout", self._unfinished(over[1]))
        if self._link.said("handover"):
            return Ending(OK, "powered-off")
        if self._link.said("hello"):
            return Ending(GUEST_DIED, "died", "the guest stopped before its work was done, "
                          f"last words: {last_line(console)}")
        return Ending(GUEST_DIED, "died", "the guest reset before it reached init (triple fault or early reboot), "
                      f"last words: {last_line(console)}")
