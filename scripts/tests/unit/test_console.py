# SPDX-License-Identifier: GPL-2.0-or-later
"""A terminal gets a console that nobody else has, and leaves it with Ctrl-]."""
import os
import socket
import threading
from contextlib import ExitStack

from rmpopt_cli.base.errors import Failure
from rmpopt_cli.guest import console
from .test_input import Scratch


class FreeTest(Scratch):
    def listen(self, number: int) -> None:
        for each in range(number):
            server = socket.socket(socket.AF_UNIX)
            self.addCleanup(server.close)
            server.bind(str(console.socket_in(self.top, each)))
            server.listen()

    def enter(self) -> None:
        with console.free(self.top):
            pass

    def test_one_after_another(self) -> None:
        self.listen(console.MOST)
        with ExitStack() as stack:
            peers = [stack.enter_context(console.free(self.top)).getpeername() for _ in range(console.MOST)]
            self.assertEqual(peers, [str(console.socket_in(self.top, number)) for number in range(console.MOST)])
            self.refused("all 4 consoles are in use", self.enter)
        self.enter()

    def test_none(self) -> None:
        self.refused("boot it with --shell", self.enter)


class AttendTest(Scratch):
    def attend(self, typed: bytes, answers: bytes = b"") -> tuple[bytes, bytes]:
        """What the guest got and what the screen showed."""
        ours, guest = socket.socketpair()
        keyboard, keys = os.pipe()
        shown, screen = os.pipe()
        with ours, guest:
            guest.sendall(answers)
            os.write(keys, typed)
            os.close(keys)
            thread = threading.Thread(target=console.attend, args=(ours, keyboard, screen), daemon=True)
            thread.start()
            thread.join(10)
            self.assertFalse(thread.is_alive())
            os.close(screen)
            ours.shutdown(socket.SHUT_WR)
            got = b"".join(iter(lambda: guest.recv(100), b""))
        text = os.read(shown, 100)
        for each in (keyboard, shown):
            os.close(each)
        return got, text

    def test_both_ways(self) -> None:
        self.assertEqual(self.attend(b"ls\n", b"file\r\n"), (b"\nls\n", b"file\r\n"))

    def test_leaves(self) -> None:
        self.assertEqual(self.attend(b"ab\x1dcd")[0], b"\nab")

    def test_the_guest_has_ended(self) -> None:
        ours, guest = socket.socketpair()
        guest.shutdown(socket.SHUT_WR)
        keyboard, keys = os.pipe()
        with ours, guest, self.assertRaisesRegex(Failure, "the guest has ended"):
            console.attend(ours, keyboard, 1)
        os.close(keyboard)
        os.close(keys)
