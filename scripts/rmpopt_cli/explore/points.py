# SPDX-License-Identifier: GPL-2.0-or-later
"""The points of a run at which CPUs can stall, and draws of what makes one run differ from another."""
import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..guest import stalls
from ..guest.stalls import EVENTS, PENDING, Stall
from ..guest.symbols import Symbols

SHORTEST = 1_000  # nanoseconds, which is some hundred instructions
CODE = "code"
UNIFORM, PRIORITIES = MODES = ("uniform", "priorities")


@dataclass(frozen=True)
class Place:
    """Where one CPU was how often."""
    site: str
    cpu: int
    times: int


@dataclass(frozen=True)
class Turns:
    """The order in which CPUs take turns."""
    order: str  # as in --turns

    def __str__(self) -> str:
        return f"turns={self.order}"

    def sentence(self) -> str:
        return f"CPUs take turns in the order {self.order.replace(':', ', ')}"


def parse(text: str) -> Stall | Turns:
    """What str() has made of it."""
    return Turns(text.removeprefix("turns=")) if text.startswith("turns=") else stalls.parse(text)


def draw_turns(cpus: int, seed: int) -> list[Turns]:
    """Half of all seeds leave the order as it is. As CPUs take turns in a circle, any order can begin with CPU 0."""
    dice = random.Random(f"turns {seed}")
    usual = list(range(1, cpus))
    order = dice.sample(usual, len(usual)) if dice.random() < 0.5 else usual
    return [] if order == usual else [Turns(":".join(map(str, [0, *order])))]


def _kind(place: Place) -> str:
    return place.site if place.site in EVENTS else CODE


def read(report: dict, names: Symbols | None) -> list[Place]:
    """From a report.json."""
    return [Place(stalls.named(point["site"], names), point["cpu"], point["times"])
            for point in report.get("points", [])]


def _duration(dice: random.Random, longest: int) -> int:
    """With two digits. Half of them evenly by orders of magnitude, half evenly: the former hit what takes
    microseconds, the latter what waits for a timer."""
    high = max(longest, SHORTEST)
    ns = _between(dice, SHORTEST, high) if dice.random() < 0.5 else dice.randint(SHORTEST, high)
    return int(f"{ns:.1e}".split("e")[0].replace(".", "")) * 10 ** (int(math.log10(ns)) - 1)


def _between(dice: random.Random, low: int, high: int) -> int:
    """Evenly by orders of magnitude."""
    return min(high, max(low, round(math.exp(dice.uniform(math.log(low), math.log(high))))))


def _occurrence(dice: random.Random, times: int) -> int:
    """The first and the last times, when something is set up and taken down, are drawn more often than others."""
    kind = dice.randrange(3)
    if kind == 0:
        return dice.randint(1, times)
    distance = _between(dice, 1, times)
    return distance if kind == 1 else times + 1 - distance


def draw(places: Iterable[Place], seed: int, most: int, longest: int, mode: str = UNIFORM) -> list[Stall]:
    """From 1 to `most` stalls. Each kind of point is as likely as any other, then each place of that kind, and then
    each time that the CPU was there; otherwise nearly all stalls would be in loops.

    With `priorities`, a stall is what a change of priority is in the search by Burckhardt and others ("A Randomized
    Scheduler with Probabilistic Guarantees of Finding Bugs", ASPLOS 2010): from there on, the CPU goes on only when no
    other has anything to do. `longest` bounds it, as a CPU that waits for this one in a loop is never idle.
    """
    dice = random.Random(f"explore {seed}")
    kinds: dict[str, list[Place]] = {}
    pending: dict[int, Place] = {}
    for place in places:
        if place.site == PENDING:
            pending[place.cpu] = place
        else:
            kinds.setdefault(_kind(place), []).append(place)
    drawn = []
    for _ in range(dice.randint(1, most)):
        place = dice.choice(kinds[dice.choice(sorted(kinds))])
        drawn.append(Stall(place.site, place.cpu, _occurrence(dice, place.times), _duration(dice, longest)))
    drawn = _some_late(drawn, pending, random.Random(f"late {seed}"))
    return [replace(stall, ns=longest, until_idle=True) for stall in drawn] if mode == PRIORITIES else drawn


def _some_late(drawn: list[Stall], pending: dict[int, Place], dice: random.Random) -> list[Stall]:
    """Half of the stalls at interrupts become interrupts that come late, while the CPU goes on."""
    return [replace(stall, site=PENDING, occurrence=_occurrence(dice, pending[stall.cpu].times))
            if stall.site == "interrupt" and stall.cpu in pending and dice.random() < 0.5 else stall for stall in drawn]
