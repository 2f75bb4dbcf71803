# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts over time and place, in no more parts than a picture can show."""
from dataclasses import dataclass, field

from .measured import Measured, Sum

MOST_BINS = 120
MOST_ROWS = 64


@dataclass(frozen=True)
class Groups:
    """Neighbours (regions, cores) that share a row."""
    count: int  # of what is grouped
    each: int

    @classmethod
    def of(cls, count: int) -> "Groups":
        return cls(count, -(-count // MOST_ROWS) or 1)

    @property
    def rows(self) -> int:
        return -(-self.count // self.each)

    def row(self, number: int) -> int:
        return number // self.each

    def name(self, row: int) -> str:
        first, last = row * self.each, min((row + 1) * self.each, self.count) - 1
        return f"{first}" if first == last else f"{first}-{last}"


@dataclass
class Bins:
    """`by[row][bin]`; and the whole of each bin, at both levels."""
    width: float
    count: int
    by: dict[tuple[int, int], Sum] = field(default_factory=dict)
    whole: dict[tuple[str, int], Sum] = field(default_factory=dict)

    def bin(self, seconds: float) -> int:
        return min(int(seconds / self.width), self.count - 1)


def bins(measured: Measured, groups: Groups) -> Bins:
    """Stores of all accessors by region and time; the skip rates are those of the host."""
    count = min(MOST_BINS, max(1, int(measured.seconds / 0.2)))
    out = Bins(max(measured.seconds / count, 1e-9), count)
    for event in measured.of("counts"):
        at = out.bin(max(event["t"] - 0.1, 0.0))  # an event tells of the 200 ms before it
        for _core, gb, who, level, *numbers in event["cells"]:
            if level == "store":
                where = (groups.row(gb), at)
                out.by[where] = out.by.get(where, Sum()) + Sum(*numbers)
            if who == "host":
                out.whole[level, at] = out.whole.get((level, at), Sum()) + Sum(*numbers)
    return out


def by_core(measured: Measured, regions: Groups, cores: Groups) -> dict[tuple[int, int], Sum]:
    """Stores by region and core."""
    out: dict[tuple[int, int], Sum] = {}
    for core, gb, _who, level, *numbers in measured.cells:
        if level == "store":
            where = (regions.row(gb), cores.row(core))
            out[where] = out.get(where, Sum()) + Sum(*numbers)
    return out


def numbers(text: str) -> set[int]:
    """Of a list such as 0-3,5."""
    out: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        out.update(range(int(first), int(last or first) + 1))
    return out


def tables(measured: Measured) -> list[tuple[float, dict[int, set[int]]]]:
    """The RMPOPT tables after each change: time, and by core the regions that it may skip checks for."""
    now: dict[int, set[int]] = {}
    out: list[tuple[float, dict[int, set[int]]]] = []
    for event in measured.of("table"):
        now = {**now, event["core"]: numbers(event["optimised"])}
        if out and event["t"] - out[-1][0] < 0.05:
            out[-1] = (event["t"], now)
        else:
            out.append((event["t"], now))
    return out
