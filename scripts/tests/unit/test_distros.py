# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes in another distribution's root end with this program, however it ends, and their mounts disappear."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

from rmpopt_cli.base.errors import BadInput
from rmpopt_cli.provision.cache import Cache
from tests.system import distros

SCRIPTS = Path(__file__).parents[2]
BUSYBOX = shutil.which("busybox")
STAY = """
import signal, sys
from pathlib import Path
from rmpopt_cli.cli import _stop
from rmpopt_cli.provision.cache import Cache
from tests.system import distros
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, _stop)
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in a shell's background ignores
with distros.scratch(Cache(Path(sys.argv[1])), "none") as top:
    for name in ("proc", "dev", "sys", "bin", "var/cache/apt/archives"):
        (top / name).mkdir(parents=True)
    (top / "bin/busybox").write_bytes(Path(sys.argv[2]).read_bytes())
    (top / "bin/busybox").chmod(0o755)
    (top / "bin/env").symlink_to("busybox")
    place = distros.Installation(Cache(Path(sys.argv[1])), "none", top)
    place.run(["/bin/busybox", "sh", "-c", "/bin/busybox sleep 4711 & echo up > /up; wait"])
"""


def _sleepers() -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"sleep\x004711" in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            pass  # ended meanwhile
    return found


def _namespaces() -> bool:
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"],
                                                capture_output=True).returncode == 0


@unittest.skipUnless(BUSYBOX and shutil.which("setpriv") and _namespaces(), "needs root, namespaces and busybox")
class EndTest(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.cache = Path(scratch.name)

    def wait(self, condition) -> bool:  # type: ignore[no-untyped-def]
        deadline = time.monotonic() + 20
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.05)
        return bool(condition())

    def ended_by(self, number: int) -> None:
        with subprocess.Popen([sys.executable, "-c", STAY, self.cache, BUSYBOX], cwd=SCRIPTS,
                              stderr=subprocess.DEVNULL) as process:
            top = self.cache / "distros-run" / "none"
            self.assertTrue(self.wait(lambda: (top / "up").exists() and _sleepers()))
            process.send_signal(number)
        self.assertTrue(self.wait(lambda: not _sleepers()))
        self.assertNotIn(str(self.cache), Path("/proc/self/mounts").read_text())
        self.assertEqual(top.exists(), number == signal.SIGKILL)  # the next run removes it then

    def test_every_signal(self) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL):
            with self.subTest(signal.Signals(number).name):
                self.ended_by(number)


class StepsTest(unittest.TestCase):
    def test_each_release_has_root_and_a_user(self) -> None:
        for suite, steps in distros.RELEASES.items():
            with self.subTest(suite):
                self.assertEqual({step.as_user for step in steps}, {False, True})

    def test_releases_are_chosen(self) -> None:
        self.assertEqual(distros.chosen(""), list(distros.RELEASES))
        self.assertEqual(distros.chosen("trix"), ["trixie"])
        with self.assertRaisesRegex(BadInput, "no such release: give bookworm, trixie, sid"):
            distros.chosen("potato")

    def test_a_user_is_told_in_one_line(self) -> None:
        with mock.patch("os.geteuid", return_value=1000), self.assertRaisesRegex(BadInput, "run it as root$"):
            distros.check_possible(Cache(Path("/nonexistent")))


if __name__ == "__main__":
    unittest.main()
