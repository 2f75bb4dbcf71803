# SPDX-License-Identifier: GPL-2.0-or-later
"""Sums counts up by time, region and core, in no more parts than a picture can show."""
from dataclasses import dataclass, field

from .measured import Measured, Sum

MOST_BINS = 240
MOST_CELLS = 8000  # in a picture
MOST_ROWS = 64
MOST_STATES = 200


@dataclass(frozen=True)
class Groups:
    """Groups of neighbouring regions or cores that share a row."""
    count: int  # number of regions or cores
    each: int  # how many of them are in a group

    @classmethod
    def of(cls, count: int) -> "Groups":
        return cls(count, -(-count // MOST_ROWS) or 1)

    @property
    def rows(self) -> int:
        return -(-self.count // self.each)

    def row(self, number: int) -> int:
        return number // self.each

    def size(self, row: int) -> int:
        """The number of members in a row. The last row may have fewer than the others."""
        return min((row + 1) * self.each, self.count) - row * self.each

    def name(self, row: int) -> str:
        first, last = row * self.each, row * self.each + self.size(row) - 1
        return f"{first}" if first == last else f"{first}-{last}"


@dataclass
class Bins:
    """Stores by row and bin of time, and the total of each bin by accessor and level."""
    width: float
    count: int
    by: dict[tuple[int, int], Sum] = field(default_factory=dict)
    whole: dict[tuple[str, str, int], Sum] = field(default_factory=dict)

    def bin(self, seconds: float) -> int:
        return min(int(seconds / self.width), self.count - 1)


def _resolution(measured: Measured) -> float:
    """The usual distance between two counts in seconds: 0.2, or more if the guest skips idle time."""
    times = [event["t"] for event in measured.of("counts")]
    gaps = sorted(after - before for before, after in zip(times, times[1:]))
    return max(0.2, gaps[len(gaps) * 9 // 10]) if gaps else 0.2


def bins(measured: Measured, groups: Groups) -> Bins:
    """Stores of all accessors by region and time."""
    count = min(MOST_BINS, MOST_CELLS // max(groups.rows, 1), max(1, int(measured.seconds / _resolution(measured))))
    out = Bins(max(measured.seconds / count, 1e-9), count)
    for event in measured.of("counts"):
        at = out.bin(max(event["t"] - 0.1, 0.0))  # the middle of the 200 ms that the event covers
        for _core, gb, who, level, *numbers in event["cells"]:
            if level == "store":
                where = (groups.row(gb), at)
                out.by[where] = out.by.get(where, Sum()) + Sum(*numbers)
            out.whole[who, level, at] = out.whole.get((who, level, at), Sum()) + Sum(*numbers)
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
    """The numbers in a list such as 0-3,5."""
    out: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        out.update(range(int(first), int(last or first) + 1))
    return out


Table = dict[int, set[int]]  # for each core, the regions for which it skips checks


def tables(measured: Measured) -> list[tuple[float, Table]]:
    """The RMPOPT tables over time. If there are many changes, only the last in each interval is kept."""
    now: Table = {}
    out: list[tuple[float, Table]] = []
    width = max(measured.seconds / MOST_STATES, 0.05)
    begun = -1
    for event in measured.of("table"):
        now = {**now, event["core"]: numbers(event["optimised"])}
        if out and int(event["t"] / width) == begun:
            out[-1] = (event["t"], now)
        else:
            out.append((event["t"], now))
        begun = int(event["t"] / width)
    return out


def last_table(measured: Measured) -> Table:
    """The RMPOPT table at the end, from the report."""
    out: Table = {}
    for region in measured.report["regions"]:
        for core in {measured.report["cpu_core"][cpu] for cpu in numbers(region["optimised_cpus"])}:
            out.setdefault(core, set()).add(region["gb"])
    return out


def pairs(table: Table) -> int:
    """The number of pairs of a core and a region for which it skips checks."""
    return sum(len(regions) for regions in table.values())
