# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots Linux with measuring, watches it from outside while it runs, and kills it."""
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

from rmpopt_cli.base.errors import OK, QEMU_FAILED, Failure
from rmpopt_cli.base.shell import last_line
from rmpopt_cli.guest.control_client import Control, connect
from .command import PROGRAMS, Checks, booted, ctl, qemu_of, report_of, running, wait_for_guest

PHASES = ("rmpopt-mark churn; for i in 1 2 3; do ls -lR /sys >/dev/null; done; rmpopt-mark copy; "
          "dd if=/dev/zero of=/tmp/file bs=1M count=100 2>/dev/null; rmpopt-mark ''")
BUSY = "while :; do ls -lR /sys >/dev/null; done"


def _events(directory: Path) -> list[dict]:
    lines = (directory / "events.jsonl").read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]  # the last line of a killed QEMU may be incomplete


def _sums(cells: list[list]) -> Counter:
    """Stores by core, GiB, accessor, level and outcome."""
    out: Counter = Counter()
    for *where, checked, skipped, off in cells:
        for outcome, number in (("checked", checked), ("skipped", skipped), ("off", off)):
            if number:
                out[(*where, outcome)] += number
    return out


def _drift(report: dict, events: list[dict]) -> str | None:
    """Compares the sum of the events with the totals of the report."""
    told: Counter = Counter()
    for event in events:
        if event["type"] == "counts":
            told += _sums(event["cells"])
    if told != _sums(report["measure"]["cells"]):
        return "the counts of the events do not add up to the report's"
    if [event["seq"] for event in events] != list(range(1, len(events) + 1)):
        return "events are missing or out of order"
    return None


def _events_equal_report(directory: Path) -> str | None:
    report, events = report_of(directory), _events(directory)
    problem = _drift(report, events)
    if problem:
        return problem
    names = [phase["name"] for phase in report["measure"]["phases"]]
    if names != ["", "churn", "copy"]:
        return f"phases {names}"
    types = {event["type"] for event in events}
    missing = {"boot", "measure", "mark", "counts", "table", "rmpopt", "rmpupdate", "msr", "psp", "end"} - types
    return f"no events of type {', '.join(sorted(missing))}" if missing else None


def _measured(mode: str, *words: str) -> str | None:
    with booted("--measure", mode, *words, "--", PHASES) as directory:
        return _events_equal_report(directory)


def _tlb() -> str | None:
    """In a Linux with processes and guests, no translation may outlive the event that must drop it, and there must be
    fewer fills than stores."""
    with booted("--measure", "exact+tlb", "--tlb", "64/512x8", "--", PHASES) as directory:
        problem = _events_equal_report(directory)
        if problem:
            return problem
        measured = report_of(directory)["measure"]
    tlb, [fills] = measured["tlb"], measured["tlb"]["fills"]
    if tlb["stale"]:
        return f"{tlb['stale']} translations outlived a flush"
    missing = {"cr3", "cr4", "invlpg", "rmp"} - set(tlb["flushes"])
    checks = fills["checked"] + fills["skipped"] + fills["off"]
    if missing or not 0 < checks < measured["estimates"][0]["stores"] / 100:
        return f"{checks} checks, no flushes by {missing or 'nothing'}"
    return None


def _sampled_agrees() -> str | None:
    """Two boots in virtual time do the same, apart from the effects of firmware's real time. So the exact and the
    sampled number of stores of a phase may differ only a little."""
    stores = []
    for mode in ("exact", "sampled=500"):
        with booted("--measure", mode, "--time", "virtual", "--", PHASES) as directory:
            stores.append(report_of(directory)["measure"]["phases"][1]["estimates"][0]["stores"])
    exact, sampled = stores
    return None if abs(sampled - exact) < 0.05 * exact else f"{exact} stores, sampled {sampled}"


COMMANDS = (("status",), ("table",), ("regions",), ("cores",), ("counters",), ("rmp", "0x100000"), ("help",),
            ("measure", "on"), ("mark", "outside"), ("events",), ("measure", "sampled=100"), ("measure", "off"))


def _clients() -> str | None:
    with running("--", BUSY) as (process, path, _):
        wait_for_guest(path)
        idle, rude = connect(path), connect(path)
        idle.sendall(b'{"cmd": "events", "follow": true}\n')  # this client never reads
        _be_rude(rude)
        for words in COMMANDS:
            for form in ((), ("--json",)):
                done = ctl(path, *words, *form)
                if done.failure or not done.text.strip():
                    return f"ctl {' '.join(words)}: {done.failure or 'says nothing'}"
                if form and words[0] != "events":
                    json.loads(done.text)
        if not ctl(path, "counters", "--json").json()["measure"]["cells"]:
            return "nothing was counted between measure on and measure off"
        idle.close()
        rude.close()
        return None if process.poll() is None else "the boot ended early"


GUESTS = "while /root/snp-guest launch 1M; do :; done; exit 7"


def _injected() -> str | None:
    """An injection must clear optimised regions, and another must make firmware fail a guest's launch."""
    with running("--file", PROGRAMS / "snp-guest", "--watch", "off", "--", GUESTS) as (process, path, _):
        wait_for_guest(path)
        for words in (("rmpopt-clear", "0"), ("rmpopt-clear", "all"), ("rmpupdate", "4", "0")):
            failure = ctl(path, "inject", *words).failure
            if failure:
                return f"inject {words}: {failure}"
        nonsense = ctl(path, "inject", "psp", "NO_SUCH_COMMAND", "1")
        if nonsense.status == OK or "is no command of firmware" not in nonsense.told:
            return f"inject of nonsense: status {nonsense.status}: {nonsense.told}"
        failure = ctl(path, "inject", "psp", "SNP_LAUNCH_START", "0x1a", "1000000").failure
        ended = process.wait(timeout=120)
        return f"inject: {failure}; the guest's status is {ended}, not 7" if failure or ended != 7 else None


def _be_rude(client: socket.socket) -> None:
    """Sends endless garbage. The server must close the connection while the client still sends."""
    client.setblocking(False)
    try:
        client.send(b"\xff\x00garbage" * 20_000)
    except OSError:
        pass


def _killed() -> str | None:
    """kill -9 of QEMU must be reported as such, and may lose at most a second of report and events."""
    with running("--measure", "exact", "--", BUSY) as (process, path, directory):
        wait_for_guest(path)
        time.sleep(2)
        seconds = ctl(path, "status", "--json").json()["seconds"]
        os.kill(qemu_of(process), signal.SIGKILL)
        told, _ = process.communicate(timeout=60)
        report, last = report_of(directory), max(event["t"] for event in _events(directory))
        if process.returncode != QEMU_FAILED or "QEMU was ended by SIGKILL" not in told:
            return f"status {process.returncode}, not {QEMU_FAILED}: {last_line(told)}"
        if not (directory / "result.json").exists():
            return "no result was kept"
        if last < seconds - 1 or report["measure"]["seconds"] < seconds - 2:
            return f"killed after {seconds} s, events end at {last}, the report at {report['measure']['seconds']}"
    return None


EVENTS_KEPT = 4 << 20  # growth of the plugin, while its event log fills up
TRANSLATIONS = 32 << 20  # growth of QEMU, which keeps the translations of all code that it has run
HOUR = "for minute in $(seq 60); do ls -lR /sys >/dev/null; sleep 60; done"


def _private_memory(pid: int) -> int:
    """Private memory of a process in bytes. It does not include the guest's RAM."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise ValueError("no RssAnon")


def _hour() -> str | None:
    """Runs for an hour of guest time, with one client that follows the events and one that keeps sending requests."""
    with running("--measure", "exact+tlb", "--time", "virtual", "--smp", "2", "--timeout", "900", "--",
                 HOUR) as (process, path, directory):
        wait_for_guest(path)
        with connect(path) as follower:
            follower.sendall(b'{"cmd": "events", "follow": true}\n')
            threading.Thread(target=_read_all, args=(follower,), daemon=True).start()
            used = _watch_memory(process, path)
        process.wait(timeout=60)
        problem = _drift(report_of(directory), _events(directory))
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
    """Yields guest time, the memory used for measuring, and QEMU's memory, until QEMU ends."""
    used = []
    qemu, control = qemu_of(process), Control(path)
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


def tests() -> Checks:
    return [
        ("measure/exact: events add up to the report", partial(_measured, "exact")),
        ("measure/exact, a host thread for each CPU", partial(_measured, "exact", "--thread", "multi",
                                                             "--smp", "2")),
        ("measure/exact+tlb: no missing flush", _tlb),
        ("measure/sampled: events add up to the report", partial(_measured, "sampled=100")),
        ("measure/sampled agrees with exact", _sampled_agrees),
        ("measure/clients of the control socket", _clients),
        ("measure/injected failures", _injected),
        ("measure/QEMU killed", _killed),
    ]


def lasting_tests() -> Checks:
    return [("measure/an hour of guest time", _hour)]
