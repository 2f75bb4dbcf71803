# SPDX-License-Identifier: GPL-2.0-or-later
"""Directories of one boot: what is kept (report) and what QEMU needs while it runs."""
import errno
import fcntl
import json
import os
import shutil
import socket
import stat
import tempfile
import time
from pathlib import Path
from typing import IO

from .. import reporting
from ..base.errors import OK, BadInput
from ..provision.cache import Cache
from . import watch

SOCKET_PATH_LIMIT = 107  # struct sockaddr_un without its final NUL
KEPT_REPORTS = 20
SCHEDULE = "schedule.bin"
RESULT = "result.json"
# What an SNP guest inside the emulated host leaves: its console, when it did what, the messages of its QEMU.
GUEST_CONSOLE, GUEST_TIMES, GUEST_MESSAGES = LEFT_BY_GUEST = ("guest-console.log", "guest-times", "guest-qemu.log")
REPORT_OF_RUN = "report"  # a link beside the control socket
ABANDONED_AFTER = 24 * 3600


class Workspace:
    """report: logs and results. run: initramfs and control socket."""

    def __init__(self, report: Path, run: Path) -> None:
        self.report, self.run = report, run
        self._lock: IO[str] | None = None
        self.initrd = run / "initrd.cpio"
        self.control_socket = run / "control.sock"
        self.console = report / "console.log"
        self.status = report / "status.log"
        self.plugin_log = report / "plugin.log"
        self.plugin_report = report / "report.json"
        self.events = report / "events.jsonl"
        self.schedule = report / SCHEDULE
        self.qemu_log = report / "qemu.log"
        self.command = report / "command"
        self.dmesg = report / "dmesg.txt"
        self.result = report / RESULT

    def _reported(self) -> list[Path]:
        """All that a boot leaves in the report directory, so far as it is there."""
        files = (self.console, self.status, self.plugin_log, self.plugin_report, self.events, self.schedule,
                 self.qemu_log, self.command, self.dmesg, self.result,
                 *map(self.report.joinpath, (*reporting.OUTPUTS, *LEFT_BY_GUEST)))
        return [path for path in files if path.exists()]

    def clean(self) -> None:
        """Removes what an earlier boot with the same report directory left."""
        for path in self._reported():
            path.unlink()
        free_socket(self.control_socket)

    def keep_earlier(self) -> Path | None:
        """Moves what clean() would remove into a directory beside this one, where it replaces what was moved before.
        Returns that directory, or None if there is nothing to move."""
        earlier = self._reported()
        if not earlier:
            return None
        old = self.report.with_name(f"{self.report.name}.old")
        try:
            old.mkdir(exist_ok=True)
            Workspace(old, old).clean()
            for path in earlier:
                path.rename(old / path.name)
        except OSError as problem:
            self.drop_run()
            raise BadInput(f"--report {self.report}: the report in it can't be moved to {old}: {problem.strerror}: "
                           "give another directory") from problem
        return old

    def occupy(self) -> None:
        """Refuses a report directory in which another boot writes."""
        self._lock = (self.report / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            self.drop_run()
            raise BadInput(f"--report {self.report}: another boot writes there: wait for it, or give another "
                           "directory") from problem

    def drop_run(self) -> None:
        shutil.rmtree(self.run, ignore_errors=True)
        if self._lock:
            self._lock.close()


def modified(path: Path) -> float:
    """Of a directory that another rmpopt may be removing: the distant past when it is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0


def _went_well(report: Path) -> bool:
    try:
        result = json.loads((report / RESULT).read_text())
        return result["status"] == OK and not watch.serious(result["findings"])
    except (OSError, ValueError, KeyError, TypeError):
        return False  # or is not over yet


def prune(directory: Path, kept: int = KEPT_REPORTS) -> None:
    """Removes all directories in it but the newest: so many of boots that went well, and so many others, which are
    evidence."""
    reports = sorted((p for p in directory.iterdir() if p.is_dir()), key=modified)
    good = [report for report in reports if _went_well(report)]
    others = [report for report in reports if report not in good]
    for old in [*good[:-kept], *others[:-kept]]:
        shutil.rmtree(old, ignore_errors=True)


def fresh(cache: Cache, kind: str, kept: int = KEPT_REPORTS) -> Path:
    """A new directory in the cache, beside the newest ones of its kind."""
    parent = cache.directory(kind)
    prune(parent, kept)
    return Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=parent))


def _drop_abandoned(runs: Path) -> None:
    """Removes what a killed rmpopt could not; a day is longer than any boot."""
    for run in runs.iterdir():
        if time.time() - modified(run) > ABANDONED_AFTER:
            shutil.rmtree(run, ignore_errors=True)


def _report_directory(cache: Cache, wanted: Path | None) -> Path:
    if wanted is None:
        return fresh(cache, "reports")
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        probe = wanted / f".probe.{os.getpid()}"
        probe.write_text("")
        probe.unlink()
    except OSError as problem:
        raise BadInput(f"--report {wanted}: {problem.strerror}: give a directory that can be written") from problem
    return wanted.absolute()


def create(cache: Cache, report: Path | None) -> Workspace:
    """A fresh place for one boot."""
    runs = cache.directory("run")
    _drop_abandoned(runs)
    run = Path(tempfile.mkdtemp(prefix="run-", dir=runs))
    space = fitting(Workspace(_report_directory(cache, report), run))
    space.occupy()
    (run / REPORT_OF_RUN).symlink_to(space.report)
    return space


def lasting(cache: Cache, key: str) -> Workspace:
    """A place for a command line that the user pastes later: the same for the same boot."""
    where = cache.directory(f"dry-run/{key}")
    return fitting(Workspace(where, where))


def fitting(space: Workspace) -> Workspace:
    if len(os.fsencode(space.control_socket)) > SOCKET_PATH_LIMIT:
        raise BadInput(f"socket path {space.control_socket} is longer than {SOCKET_PATH_LIMIT} bytes: "
                       "set RMPOPT_CACHE to a shorter directory")
    return space


def free_socket(path: Path) -> None:
    """Makes way for a new socket: removes one that nobody listens on, refuses everything else."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise BadInput(f"{path} is in the way and is not a socket: remove it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        status = probe.connect_ex(str(path))
    if status == errno.ECONNREFUSED:
        path.unlink(missing_ok=True)
    elif status != errno.ENOENT:
        raise BadInput(f"{path} is in use by another boot: end that one first")
