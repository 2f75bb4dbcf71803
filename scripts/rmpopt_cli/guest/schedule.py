# SPDX-License-Identifier: GPL-2.0-or-later
"""Where two runs with the same seed part: the first event that differs in their schedules.

The plugin writes one record for each event (plugin/report/schedule_record.h).
"""
import json
import struct
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from ..base.errors import BadInput
from .symbols import Symbols
from .workspace import RESULT, SCHEDULE

RECORD = struct.Struct("<QIIQQQ")
KINDS = {1: "exception, handler", 2: "instruction", 3: "command", 4: "start", 5: "reset"}
EXCEPTION = 1
Event = tuple[int, ...]


def check_readable(report: Path) -> None:
    if not report.is_dir():
        raise BadInput(f"--same-as {report}: no such directory: give the report directory of a boot with --seed")
    if not (report / SCHEDULE).is_file():
        raise BadInput(f"--same-as {report}: no {SCHEDULE} in it: give the report directory of a boot with --seed")


def _events(report: Path) -> Iterator[Event]:
    with (report / SCHEDULE).open("rb") as stream:
        while len(raw := stream.read(RECORD.size)) == RECORD.size:
            yield RECORD.unpack(raw)


def _lstar(report: Path) -> int:
    try:
        return int(json.loads((report / "report.json").read_text())["lstar"] or "0", 16)
    except (OSError, ValueError, KeyError):
        return 0


def seed_of(report: Path) -> str | None:
    """None if it is not known, as of a boot that was killed."""
    try:
        return json.loads((report / RESULT).read_text())["options"]["--seed"]
    except (OSError, ValueError, KeyError):
        return None


def _shown(event: Event | None, names: Symbols | None, lstar: int) -> str:
    if event is None:
        return "nothing more"
    when, what, cpu, *operands = event
    symbol = names.at(operands[0], lstar) if names and what == EXCEPTION else None
    words = [symbol or f"{operands[0]:#x}", *(f"{word:#x}" for word in operands[1:] if word)]
    return f"{KINDS.get(what, str(what))} {' '.join(words)} on CPU {cpu} at {when / 1e9:.9f} s"


def parting(earlier: Path, later: Path, names: Symbols | None = None) -> str:
    """The first event that is not the same; "" if there is none."""
    try:
        for number, (one, other) in enumerate(zip_longest(_events(earlier), _events(later)), 1):
            if one != other:
                return (f"event {number} was {_shown(one, names, _lstar(earlier))}, "
                        f"now {_shown(other, names, _lstar(later))}")
    except OSError as problem:
        return f"no schedule to compare: {problem}"
    return ""
