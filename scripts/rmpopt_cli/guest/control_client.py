# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of the plugin's control socket: JSON lines over a unix socket."""
import json
import socket
from collections.abc import Iterator
from pathlib import Path

from ..base.console import note
from ..base.errors import QEMU_FAILED, BadInput, Failure
from ..provision.cache import Cache
from .workspace import REPORT_OF_RUN

ANSWER_SECONDS = 30


def connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        client.connect(str(path))
    except OSError:
        client.close()
        raise
    return client


def report_of(control: Path) -> Path:
    """The report directory of a boot with that control socket."""
    return control.with_name(REPORT_OF_RUN).resolve() if control.with_name(REPORT_OF_RUN).exists() else control.parent


def running(cache: Cache) -> list[Path]:
    """The control sockets of the boots that are running, the newest first."""
    sockets = sorted(cache.directory("run").glob("*/control.sock"), key=lambda path: path.parent.name)
    return [path for path in sorted(sockets, key=_started, reverse=True) if _answers(path)]


def find(cache: Cache, wanted: Path | None, changes: bool = False) -> Path:
    """The control socket that the user means: one that is given, that of the boot with a given report directory, or
    that of the newest boot. For a command that changes something, the newest must be the only one."""
    if wanted and not wanted.is_dir():
        return wanted
    found = running(cache)
    if wanted:
        found = [control for control in found if report_of(control) == wanted.resolve()]
        if not found:
            raise BadInput(f"--socket {wanted}: no boot is running that reports there")
    if not found:
        raise BadInput("no boot is running: start one with 'rmpopt boot', or give --socket PATH")
    if changes and len(found) > 1:
        raise BadInput(f"{len(found)} boots are running: choose one with --socket: "
                       f"{', '.join(str(report_of(control)) for control in found)}")
    if not wanted:
        note(f"the boot that reports to {report_of(found[0])}")
    return found[0]


def _answers(path: Path) -> bool:
    try:
        connect(path).close()
    except OSError:
        return False
    return True


def _started(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0


class Control:
    """One connection to the plugin. Its errors are Failures."""

    def __init__(self, path: Path) -> None:
        try:
            self._socket = connect(path)
        except OSError as problem:
            raise BadInput(f"--socket {path}: {problem.strerror or problem}: give the control socket of a running "
                           "QEMU") from problem
        self._stream = self._socket.makefile("rwb")

    def close(self) -> None:
        self._socket.close()

    def _line(self) -> dict:
        try:
            line = self._stream.readline()
        except TimeoutError as problem:
            raise Failure(f"no answer within {ANSWER_SECONDS} s: is QEMU stopped?", QEMU_FAILED) from problem
        except OSError as problem:
            raise Failure(f"the control socket broke: {problem.strerror}", QEMU_FAILED) from problem
        if not line.endswith(b"\n"):
            raise Failure("QEMU has ended", QEMU_FAILED)
        try:
            return json.loads(line)
        except ValueError as problem:
            raise Failure("the control socket does not speak JSON: give the socket of rmpopt's plugin",
                          QEMU_FAILED) from problem

    def ask(self, command: str, /, **arguments: object) -> dict | list:
        self._socket.settimeout(ANSWER_SECONDS)
        try:
            self._stream.write(json.dumps({"cmd": command, **arguments}).encode() + b"\n")
            self._stream.flush()
        except OSError as problem:
            raise Failure("QEMU has ended", QEMU_FAILED) from problem
        answer = self._line()
        if not answer.get("ok"):
            raise BadInput(str(answer.get("error", "the plugin did not say why")))
        return answer["result"]

    def follow(self, since: int) -> Iterator[dict]:
        """Yields events until QEMU ends."""
        self.ask("events", follow=True, since=since)
        self._socket.settimeout(None)
        while True:
            try:
                line = self._line()
            except Failure:
                return
            yield line["event"]
