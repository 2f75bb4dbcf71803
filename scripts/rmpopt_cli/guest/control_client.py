# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of the plugin's control socket: JSON lines over a unix socket."""
import json
import socket
from collections.abc import Iterator
from pathlib import Path

from ..base.errors import QEMU_FAILED, BadInput, Failure
from ..provision.cache import Cache

ANSWER_SECONDS = 30


def connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        client.connect(str(path))
    except OSError:
        client.close()
        raise
    return client


def find(cache: Cache) -> Path:
    """The control socket of the newest boot that is still running."""
    runs = cache.directory("run")
    sockets = sorted(runs.glob("*/control.sock"), key=lambda path: path.parent.name)
    for path in sorted(sockets, key=_started, reverse=True):
        try:
            connect(path).close()
        except OSError:
            continue
        return path
    raise BadInput("no boot is running: start one with 'rmpopt boot', or give --socket PATH")


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
