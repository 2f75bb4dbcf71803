# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots of Linux that are measured, watched from outside while they run, and killed."""
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rmpopt_cli.base.errors import OK, QEMU_FAILED, Failure
from rmpopt_cli.base.paths import BUILD, PROGRAM
from rmpopt_cli.base.shell import environment, last_line, output
from rmpopt_cli.guest.control_client import Control, connect
from .suites import Check, Checks

TAKES_AT_MOST = 200
PHASES = ("rmpopt-mark churn; for i in 1 2 3; do ls -lR /sys >/dev/null; done; rmpopt-mark copy; "
          "dd if=/dev/zero of=/tmp/file bs=1M count=100 2>/dev/null; rmpopt-mark ''")
BUSY = "while :; do ls -lR /sys >/dev/null; done"


def _boot(directory: str, *words: str) -> str | None:
    status, text, problem = output([PROGRAM, "boot", "--report", directory, *words],
                                   timeout=TAKES_AT_MOST)
    return None if status == OK else f"status {status}: {last_line(problem) or last_line(text)}"


def _events(directory: str) -> list[dict]:
    lines = Path(directory, "events.jsonl").read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]  # what a killed QEMU was writing has no end


def _sums(cells: list[list]) -> Counter:
    """Stores by core, GiB, accessor, level and outcome."""
    out: Counter = Counter()
    for *where, checked, skipped, off in cells:
        for outcome, number in (("checked", checked), ("skipped", skipped), ("off", off)):
            if number:
                out[(*where, outcome)] += number
    return out


def _drift(report: dict, events: list[dict]) -> str | None:
    """What the events told, piece by piece, against what the report says of the whole."""
    told: Counter = Counter()
    for event in events:
        if event["type"] == "counts":
            told += _sums(event["cells"])
    if told != _sums(report["measure"]["cells"]):
        return "the counts of the events do not add up to the report's"
    if [event["seq"] for event in events] != list(range(1, len(events) + 1)):
        return "events are missing or out of order"
    return None


def _events_equal_report(directory: str) -> str | None:
    report = json.loads(Path(directory, "report.json").read_text())
    events = _events(directory)
    problem = _drift(report, events)
    if problem:
        return problem
    names = [phase["name"] for phase in report["measure"]["phases"]]
    if names != ["", "churn", "copy"]:
        return f"phases {names}"
    types = {event["type"] for event in events}
    missing = {"boot", "measure", "mark", "counts", "table", "rmpopt", "rmpupdate", "msr", "psp", "end"} - types
    return f"no events of type {', '.join(sorted(missing))}" if missing else None


def _measured(mode: str, *words: str) -> Check:
    def call() -> str | None:
        with tempfile.TemporaryDirectory(prefix="rmpopt-") as directory:
            return _boot(directory, "--measure", mode, *words, "--", PHASES) or _events_equal_report(directory)
    return call


def _tlb() -> str | None:
    """No translation of a Linux with processes and guests outlives what must end it, and hardware looks at the RMP
    less often than software stores."""
    with tempfile.TemporaryDirectory(prefix="rmpopt-") as directory:
        problem = _boot(directory, "--measure", "exact+tlb", "--tlb", "64/512x8", "--", PHASES)
        problem = problem or _events_equal_report(directory)
        if problem:
            return problem
        measured = json.loads(Path(directory, "report.json").read_text())["measure"]
    tlb, [fills] = measured["tlb"], measured["tlb"]["fills"]
    if tlb["stale"]:
        return f"{tlb['stale']} translations outlived a flush"
    missing = {"cr3", "cr4", "invlpg", "rmp"} - set(tlb["flushes"])
    checks = fills["checked"] + fills["skipped"] + fills["off"]
    if missing or not 0 < checks < measured["estimates"][0]["stores"] / 100:
        return f"{checks} checks, no flushes by {missing or 'nothing'}"
    return None


def _sampled_agrees() -> str | None:
    """Two boots in virtual time do the same, but for what firmware's real time changes: exact and sampled numbers of
    stores of a phase differ little."""
    stores = []
    for mode in ("exact", "sampled=500"):
        with tempfile.TemporaryDirectory(prefix="rmpopt-") as directory:
            problem = _boot(directory, "--measure", mode, "--time", "virtual", "--", PHASES)
            if problem:
                return problem
            phases = json.loads(Path(directory, "report.json").read_text())["measure"]["phases"]
            stores.append(phases[1]["estimates"][0]["stores"])
    exact, sampled = stores
    return None if abs(sampled - exact) < 0.05 * exact else f"{exact} stores, sampled {sampled}"


@contextmanager
def _running(*words: str) -> Iterator[tuple[subprocess.Popen[str], Path, str]]:
    """A boot whose command does not end by itself, once its control socket answers; the socket; its report."""
    with tempfile.TemporaryDirectory(prefix="rmpopt-") as directory:
        process = subprocess.Popen([PROGRAM, "boot", "--report", directory, *words],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, env=environment())
        try:
            yield process, _socket_of(directory), directory
        finally:
            process.terminate()  # ends QEMU too
            process.wait(timeout=60)


def _socket_of(directory: str) -> Path:
    """From the QEMU command of the boot; waits until it answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        command = Path(directory, "command")
        text = command.read_text() if command.exists() else ""
        path = Path(text.partition("control=")[2].partition(",")[0].split()[0] if "control=" in text else "/none")
        try:
            connect(path).close()
            return path
        except OSError:
            time.sleep(0.2)
    raise TimeoutError("no control socket within 60 s")


def _ctl(path: Path, *words: str) -> tuple[int, str, str]:
    return output([PROGRAM, "ctl", *words, "--socket", str(path)], timeout=60)


def _wait_for_guest(path: Path) -> None:
    """Until Linux has set SNP up."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status, text, _ = _ctl(path, "status", "--json")
        if status == OK and json.loads(text)["snp_enabled"]:
            return
        time.sleep(0.3)
    raise TimeoutError("SNP was not enabled within 60 s")


COMMANDS = (("status",), ("table",), ("regions",), ("cores",), ("counters",), ("rmp", "0x100000"), ("help",),
            ("measure", "on"), ("mark", "outside"), ("events",), ("measure", "sampled=100"), ("measure", "off"))


def _clients() -> str | None:
    with _running("--", BUSY) as (process, path, _):
        _wait_for_guest(path)
        idle, rude = connect(path), connect(path)
        idle.sendall(b'{"cmd": "events", "follow": true}\n')  # and never reads
        _be_rude(rude)
        for words in COMMANDS:
            for form in ((), ("--json",)):
                status, text, problem = _ctl(path, *words, *form)
                if status != OK or not text.strip():
                    return f"ctl {' '.join(words)}: status {status}: {last_line(problem)}"
                if form and words[0] != "events":
                    json.loads(text)
        status, text, _ = _ctl(path, "counters", "--json")
        if not json.loads(text)["measure"]["cells"]:
            return "nothing was counted between measure on and measure off"
        idle.close()
        rude.close()
        return None if process.poll() is None else "the boot ended early"


GUESTS = "while /root/snp-guest launch 1M; do :; done; exit 7"


def _injected() -> str | None:
    """What is optimised gets lost when asked for; guests are launched until firmware fails."""
    with _running("--file", str(BUILD / "guest-tests/snp-guest"), "--watch", "off", "--", GUESTS) as (process, path, _):
        _wait_for_guest(path)
        for words in (("rmpopt-clear", "0"), ("rmpopt-clear", "all"), ("rmpupdate", "4", "0")):
            status, text, problem = _ctl(path, "inject", *words)
            if status != OK:
                return f"inject {words}: {last_line(problem) or last_line(text)}"
        status, _, problem = _ctl(path, "inject", "psp", "NO_SUCH_COMMAND", "1")
        if status == OK or "is no command of firmware" not in problem:
            return f"inject of nonsense: status {status}: {problem}"
        status, _, problem = _ctl(path, "inject", "psp", "SNP_LAUNCH_START", "0x1a", "1000000")
        ended = process.wait(timeout=120)
        return None if status == OK and ended == 7 else f"inject: status {status} {problem}; the guest's {ended}, not 7"


def _be_rude(client: socket.socket) -> None:
    """Sends garbage without end; the server closes such a client while it still sends."""
    client.setblocking(False)
    try:
        client.send(b"\xff\x00garbage" * 20_000)
    except OSError:
        pass


def _killed() -> str | None:
    """kill -9 of QEMU loses a second at most of report and events."""
    with _running("--measure", "exact", "--", BUSY) as (process, path, directory):
        _wait_for_guest(path)
        time.sleep(2)
        _, text, _ = _ctl(path, "status", "--json")
        seconds = json.loads(text)["seconds"]
        os.kill(_qemu_of(process.pid), signal.SIGKILL)
        status = process.wait(timeout=60)
        report = json.loads(Path(directory, "report.json").read_text())
        last = max(event["t"] for event in _events(directory))
        if status != QEMU_FAILED:
            return f"status {status}, not {QEMU_FAILED}"
        if last < seconds - 1 or report["measure"]["seconds"] < seconds - 2:
            return f"killed after {seconds} s, events end at {last}, the report at {report['measure']['seconds']}"
    return None


EVENTS_KEPT = 4 << 20  # of the plugin, while its log of events fills up
TRANSLATIONS = 32 << 20  # QEMU keeps those of all code that it ever saw
HOUR = "for minute in $(seq 60); do ls -lR /sys >/dev/null; sleep 60; done"


def _private_memory(pid: int) -> int:
    """Bytes of a process, without what it shares: the guest's RAM."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise ValueError("no RssAnon")


def _hour() -> str | None:
    """An hour of guest time, with a client that follows the events and one that asks all the time."""
    with _running("--measure", "exact+tlb", "--time", "virtual", "--smp", "2", "--timeout", "900", "--",
                  HOUR) as (process, path, directory):
        _wait_for_guest(path)
        with connect(path) as follower:
            follower.sendall(b'{"cmd": "events", "follow": true}\n')
            threading.Thread(target=_read_all, args=(follower,), daemon=True).start()
            used = _watch_memory(process, path)
        process.wait(timeout=60)
        problem = _drift(json.loads(Path(directory, "report.json").read_text()), _events(directory))
    if process.returncode != OK or len(used) < 10 or used[-1][0] < 3000:
        return f"status {process.returncode} after {used[-1:]}"
    for what, at, most in (("measuring", 1, EVENTS_KEPT), ("QEMU", 2, TRANSLATIONS)):
        early, late = (next(one for one in used if one[0] > seconds)[at] for seconds in (300, 3000))
        if late > early + most:
            return f"{what} grew from {early} to {late} bytes"
    return problem


def _read_all(client: socket.socket) -> None:
    while client.recv(1 << 16):
        pass


def _watch_memory(process: subprocess.Popen[str], path: Path) -> list[tuple[float, int, int]]:
    """Guest time, memory for measuring, and QEMU's, until it ends."""
    used = []
    qemu, control = _qemu_of(process.pid), Control(path)
    while process.poll() is None:
        try:
            status = control.ask("status")
            control.ask("counters")
            used.append((status["seconds"], status["memory"], _private_memory(qemu)))
        except (Failure, OSError, ValueError):
            break  # QEMU has ended meanwhile
        time.sleep(0.5)
    control.close()
    return used


def _qemu_of(parent: int) -> int:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return int(children[0])


def measure_tests() -> Checks:
    return [
        ("measure/exact: events add up to the report", _measured("exact")),
        ("measure/exact, a host thread for each CPU", _measured("exact", "--thread", "multi", "--smp", "2")),
        ("measure/exact+tlb: no missing flush", _tlb),
        ("measure/sampled: events add up to the report", _measured("sampled=100")),
        ("measure/sampled agrees with exact", _sampled_agrees),
        ("measure/clients of the control socket", _clients),
        ("measure/injected failures", _injected),
        ("measure/QEMU killed", _killed),
    ]


def lasting_tests() -> Checks:
    return [("measure/an hour of guest time", _hour)]
