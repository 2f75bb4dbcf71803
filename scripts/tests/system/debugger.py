# SPDX-License-Identifier: GPL-2.0-or-later
"""A debugger's watchpoint must not let a store bypass the RMP. QEMU gives no host address for a page with a watchpoint,
as for a device, so the plugin must not take the page for one."""
import socket
import subprocess
import time
from pathlib import Path

from rmpopt_cli.base.errors import Failure
from rmpopt_cli.base.shell import environment, last_line, output
from rmpopt_cli.guest import bare_metal, machine
from rmpopt_cli.provision import qemu
from rmpopt_cli.provision.cache import Cache
from .command import PROGRAMS, Checks, scratch

PATIENCE = 120  # seconds
STRICT = PROGRAMS / "strict.elf"
ENTRY = "other_pages_fault_through_large_mappings"
OTHER_PAGE = 300 * 4096  # in the region of strict.c: a page that is not assigned and faults all the same


class Debugger:
    """The part of GDB's remote protocol that the test needs."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self._socket.connect(str(path))
                break
            except OSError as problem:
                if time.monotonic() > end:
                    raise Failure(f"QEMU's debugger port does not open: {problem}") from problem
                time.sleep(0.1)
        self._stream = self._socket.makefile("rb")

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def send(self, command: str) -> None:
        checksum = sum(command.encode()) & 0xff
        self._socket.sendall(f"${command}#{checksum:02x}".encode())

    def receive(self) -> str:
        """The next packet; empty if QEMU has ended."""
        text = b""
        try:
            while (char := self._stream.read(1)) and char != b"$":
                pass
            while (char := self._stream.read(1)) and char != b"#":
                text += char
            self._stream.read(2)
            self._socket.sendall(b"+")
        except ConnectionError:
            return ""
        return text.decode()

    def ask(self, command: str) -> str:
        self.send(command)
        return self.receive()

    def expect_ok(self, command: str) -> None:
        answer = self.ask(command)
        if answer != "OK":
            raise Failure(f"QEMU's debugger answers {answer!r} to {command}")

    def word(self, address: int) -> int:
        return int.from_bytes(bytes.fromhex(self.ask(f"m{address:x},8")), "little")


def _symbols(elf: Path) -> dict[str, int]:
    _, text, _ = output(["nm", elf])
    return {words[2]: int(words[0], 16) for words in map(str.split, text.splitlines()) if len(words) == 3}


def _watch_and_run(debugger: Debugger) -> None:
    symbols = _symbols(STRICT)
    debugger.expect_ok(f"Z1,{symbols[ENTRY]:x},1")
    if not debugger.ask("c").startswith("T05"):
        raise Failure("the test does not come to its breakpoint")
    debugger.expect_ok(f"z1,{symbols[ENTRY]:x},1")
    debugger.expect_ok(f"Z4,{debugger.word(symbols['large']) + OTHER_PAGE:x},1")
    while debugger.ask("c").startswith("T"):
        pass


def _watched_page() -> str | None:
    """strict.elf must pass with a watchpoint in the page of a store that must fault."""
    cache = Cache()
    found = qemu.ensure(cache)
    with scratch() as directory:
        port, log = Path(directory, "gdb"), Path(directory, "plugin.log")
        chosen = machine.MachineOptions(
            smp="1", memory=2 << 30, enforce="strict", watch="off",
            qemu_options=["-S", "-chardev", f"socket,path={port},server=on,wait=off,id=gdb", "-gdb", "chardev:gdb"])
        test = bare_metal.BareMetalTest(STRICT, chosen)
        process = subprocess.Popen(bare_metal.command(cache, found, test, log), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment())
        try:
            debugger = Debugger(port)
            try:
                _watch_and_run(debugger)
            finally:
                debugger.close()
            text, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
            process.wait()
    if process.returncode == bare_metal.PASS:
        return None
    bad = [line for line in text.splitlines() if line.startswith("not ok")]
    return f"status {process.returncode}: {bad[0] if bad else last_line(text)}"


def tests() -> Checks:
    return [("debugger/store to a watched page", _watched_page)]
