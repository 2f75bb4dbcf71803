# SPDX-License-Identifier: GPL-2.0-or-later
"""The ctl and top commands against a server with prepared answers."""
import contextlib
import io
import json
import os
import socket
import tempfile
import threading
import unittest
from pathlib import Path
from unittest import mock

from rmpopt_cli import cli
from rmpopt_cli.base.errors import BadInput
from rmpopt_cli.commands import top
from rmpopt_cli.guest import control_client, workspace
from rmpopt_cli.provision.cache import Cache

REPORT = {
    "regions": [{"gb": 0, "assigned_pages": 0, "optimised_cpus": "0-3"},
                {"gb": 4, "assigned_pages": 515, "optimised_cpus": ""}],
    "counters": {"rmpopt": 16},
    "measure": {"cells": [[0, 4, "host", "store", 30, 0, 0], [0, 0, "host", "store", 0, 90, 0],
                          [0, 0, "host", "fill", 7, 7, 7]],
                "estimates": [{"accessor": "host", "stores": 120, "skip_rate": 0.75, "low": 0.7, "high": 0.8,
                               "blocks": 12}]},
}
ANSWERS = {
    "status": {"seconds": 2.5, "persona": "venice", "cpus": 4, "cores": 2, "snp_enabled": True, "measure": "sampled",
               "interval": 100, "tlb": False},
    "table": [{"gb": 0, "cpus": "0-3"}, {"gb": 4, "cpus": ""}],
    "regions": REPORT["regions"],
    "cores": [{"core": 0, "cpus": "0-1", "snp": True, "rmpopt_base": "0x1"}],
    "counters": {"rmpopt": 16, "measure": REPORT["measure"]},
    "report": REPORT,
    "measure": {"measure": "exact", "interval": 0, "tlb": True},
    "mark": {"phase": "x"},
    "events": {"lost": 0, "next": 2, "events": [{"seq": 1, "t": 1.5, "type": "mark", "name": "x"}]},
}


class Server:
    """Answers from ANSWERS and records the requests."""

    def __init__(self, directory: str, raw: bytes | None = None) -> None:
        self.path = Path(directory) / "control.sock"
        self.requests: list[dict] = []
        self._raw = raw
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            client, _ = self._listener.accept()
            with client, client.makefile("rwb") as stream:
                for line in stream:
                    if self._raw is not None:
                        stream.write(self._raw)
                        break
                    self._answer(stream, json.loads(line))

    def _answer(self, stream: io.BufferedRWPair, request: dict) -> None:
        self.requests.append(request)
        result = ANSWERS.get(request["cmd"])
        answer = {"ok": False, "error": "no"} if result is None else {"ok": True, "result": result}
        stream.write(json.dumps(answer).encode() + b"\n")
        stream.flush()


class CtlTest(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="rmpopt-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def run_ctl(self, *words: str, server: Server | None = None) -> tuple[int, str, str]:
        self.server = server or Server(self.directory)
        out, problem = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(problem):
            status = cli.main([*words, "--socket", str(self.server.path)])
        return status, out.getvalue(), problem.getvalue()

    def test_status_is_one_line(self) -> None:
        status, out, _ = self.run_ctl("ctl", "status")
        self.assertEqual(status, 0)
        self.assertEqual(out, "2.5 s of guest time, venice, 4 CPUs in 2 cores, SNP on, measure sampled=100\n")

    def test_tables_name_regions_without_a_cpu(self) -> None:
        _, out, _ = self.run_ctl("ctl", "table")
        self.assertEqual([line.split() for line in out.splitlines()],
                         [["GiB", "optimised", "CPUs"], ["0", "0-3"], ["4", "none"]])

    def test_counters_show_the_interval_of_a_sample(self) -> None:
        _, out, _ = self.run_ctl("ctl", "counters")
        self.assertIn("75.00% (70.00% to 80.00%)", out)

    def test_json_is_what_the_plugin_said(self) -> None:
        for command in ("status", "table", "regions", "cores", "counters"):
            with self.subTest(command):
                _, out, _ = self.run_ctl("ctl", command, "--json",
                                         server=Server(tempfile.mkdtemp(dir=self.directory)))
                self.assertEqual(json.loads(out), ANSWERS[command])

    def test_measure_on_is_exact(self) -> None:
        self.run_ctl("ctl", "measure", "on")
        self.assertEqual(self.server.requests, [{"cmd": "measure", "mode": "exact"}])

    def test_measure_refuses_other_words(self) -> None:
        status, _, problem = self.run_ctl("ctl", "measure", "sampled=1")
        self.assertEqual((status, self.server.requests), (2, []))
        self.assertIn("--measure sampled=1: give off, exact", problem)

    def test_events(self) -> None:
        _, out, _ = self.run_ctl("ctl", "events")
        self.assertEqual(out, "    1.500000 mark       name=x\n")

    def test_save_writes_the_report(self) -> None:
        file = Path(self.directory) / "saved.json"
        status, _, _ = self.run_ctl("ctl", "save", str(file))
        self.assertEqual((status, json.loads(file.read_text())), (0, REPORT))

    def test_save_to_a_bad_place_is_one_line(self) -> None:
        status, _, problem = self.run_ctl("ctl", "save", "/nonexistent/x")
        self.assertEqual(status, 2)
        self.assertEqual(len(problem.splitlines()), 1)

    def test_what_the_plugin_refuses_is_said(self) -> None:
        status, _, problem = self.run_ctl("ctl", "rmp", "5")
        self.assertEqual((status, problem), (2, "rmpopt: error: no\n"))

    def test_a_qemu_that_ends_is_one_line(self) -> None:
        for raw, words in ((b"", "QEMU has ended"), (b"hello\n", "does not speak JSON")):
            with self.subTest(words):
                server = Server(tempfile.mkdtemp(dir=self.directory), raw)
                status, _, problem = self.run_ctl("ctl", "status", server=server)
                self.assertEqual(status, 122)
                self.assertIn(words, problem)
                self.assertEqual(len(problem.splitlines()), 1)

    def test_no_socket_is_one_line(self) -> None:
        problem = io.StringIO()
        with contextlib.redirect_stderr(problem):
            status = cli.main(["ctl", "status", "--socket", self.directory + "/none"])
        self.assertEqual(status, 2)
        self.assertIn("give the control socket of a running QEMU", problem.getvalue())

    def test_which_boot(self) -> None:
        cache = Cache(Path(self.directory))
        with self.assertRaisesRegex(BadInput, "no boot is running"):
            control_client.find(cache, None)
        spaces = [workspace.create(cache, Path(self.directory, name)) for name in ("one", "two")]
        servers = [Server(str(space.run)) for space in spaces]
        for number, server in enumerate(servers):
            os.utime(server.path, (number, number))
        for space, server in zip(spaces, servers):
            self.assertEqual(control_client.find(cache, space.report, changes=True), server.path)
        with mock.patch.dict(os.environ, {"RMPOPT_CACHE": self.directory}):
            for words, status, says in ((("table",), 0, "the boot that reports to .*/two\n"),
                                        (("mark", "x"), 2, "2 boots are running: choose one .*/two, .*/one\n")):
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as told:
                    self.assertEqual(cli.main(["ctl", *words]), status)
                self.assertRegex(told.getvalue(), says)
        self.assertEqual([server.requests for server in servers], [[], [{"cmd": "table"}]])
        with self.assertRaisesRegex(BadInput, "no boot is running that reports there"):
            control_client.find(cache, Path("/tmp"))

    def test_top_shows_each_region_in_use(self) -> None:
        with mock.patch.object(top, "PERIOD", 0):
            status, out, _ = self.run_ctl("top", "--once")
        self.assertEqual(status, 0)
        self.assertTrue(out.startswith(f"report: {self.directory}\n"))
        self.assertIn("515", out)
        self.assertIn("rmpopt 16", out)
        self.assertIn("mark", out)


if __name__ == "__main__":
    unittest.main()
