# SPDX-License-Identifier: GPL-2.0-or-later
"""The top command: a running guest at a glance, redrawn every second."""
import argparse
import contextlib
import select
import shutil
import sys
import termios
import time
import tty
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from ..base.errors import OK, Failure
from ..guest.control_client import Control, find, report_of
from ..provision.cache import Cache
from . import ctl

HOME_AND_CLEAR = "\x1b[H\x1b[J"
ALTERNATE, NORMAL = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
EVENTS_SHOWN = 6
PERIOD = 1.0


def _stores(measured: dict | None) -> dict[int, list[int]]:
    """Numbers of checked, skipped and off stores by region."""
    out: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    for _core, gb, _accessor, level, *numbers in (measured or {}).get("cells", []):
        if level == "store":
            out[gb] = [a + b for a, b in zip(out[gb], numbers)]
    return out


class Screen:
    """Shows what has changed since the last frame."""

    def __init__(self, control: Control, report: Path) -> None:
        self._control, self._report = control, report
        self._last = _stores(control.ask("report").get("measure"))
        self._at = time.monotonic()

    def frame(self, width: int, height: int) -> str:
        status = self._control.ask("status")
        report = self._control.ask("report")
        now = time.monotonic()
        stores = _stores(report.get("measure"))
        seconds = max(now - self._at, 1e-3)
        lines = [f"report: {self._report}", ctl.VIEWS["status"](status), "",
                 *self._regions(report, stores, seconds), "", *self._work(report)]
        events = self._control.ask("events", since=max(1, self._newest() - EVENTS_SHOWN))
        lines += ["", *(ctl.event_line(event) for event in events["events"] if event["type"] != "counts")]
        self._last, self._at = stores, now
        return "\n".join(line[:width] for line in lines[:height])

    def _newest(self) -> int:
        return self._control.ask("events", since=2 ** 62)["next"]

    def _regions(self, report: dict, stores: dict[int, list[int]], seconds: float) -> list[str]:
        rows: ctl.Rows = [("GiB", "optimised CPUs", "assigned", "checked/s", "skipped/s", "skip rate")]
        for region in report.get("regions", []):
            gb = region["gb"]
            checked, skipped, off = (max(0, a - b) for a, b in zip(stores.get(gb, [0] * 3),
                                                                   self._last.get(gb, [0] * 3)))
            if region["assigned_pages"] or checked or skipped or off:
                rate = f"{skipped / (checked + skipped):.1%}" if checked + skipped else ""
                rows.append((gb, region["optimised_cpus"] or "none", region["assigned_pages"],
                             round(checked / seconds), round(skipped / seconds), rate))
        return ctl.table(rows).splitlines()

    def _work(self, report: dict) -> list[str]:
        counters = report.get("counters", {})
        names = ("rmpopt", "rmpopt_set", "rmpopt_scans", "rmpopt_cached", "rmpupdate", "psmash", "rmp_faults")
        return [", ".join(f"{name} {counters.get(name, 0)}" for name in names)]


@contextlib.contextmanager
def _terminal() -> Iterator[None]:
    """Delivers keys at once, and restores the terminal at the end."""
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        sys.stdout.write(ALTERNATE)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        sys.stdout.write(NORMAL)
        sys.stdout.flush()


def _quits() -> bool:
    ready, _, _ = select.select([sys.stdin], [], [], PERIOD)
    return bool(ready) and sys.stdin.read(1) in ("q", "Q", "")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sub = commands.add_parser("top", help="show a live view of a running guest; q quits")
    sub.add_argument("--socket", type=Path, metavar="PATH", help=ctl.SOCKET_HELP)
    sub.add_argument("--once", action="store_true", help="print the view once")
    sub.set_defaults(action=run)


def run(arguments: argparse.Namespace) -> int:
    path = find(Cache(), arguments.socket)
    screen = Screen(Control(path), report_of(path))
    if arguments.once or not (sys.stdin.isatty() and sys.stdout.isatty()):
        time.sleep(PERIOD)
        print(screen.frame(10 ** 6, 10 ** 6))
        return OK
    with _terminal():
        while True:
            size = shutil.get_terminal_size()
            try:
                sys.stdout.write(HOME_AND_CLEAR + screen.frame(size.columns, size.lines - 1))
            except Failure:
                return OK  # the guest has ended
            sys.stdout.flush()
            if _quits():
                return OK
