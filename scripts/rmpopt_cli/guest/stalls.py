# SPDX-License-Identifier: GPL-2.0-or-later
"""Stalls: how people name a point at which a CPU stalls, and how the plugin is told of it.

A point is SITE@CPU#OCCURRENCE, such as rmpopt@2#17 for the 17th RMPOPT on CPU 2 since SNP was switched on. A site in
the kernel's code is function+0x45; the plugin knows it by its distance from the kernel's entry of system calls, which
is the same wherever KASLR has put the kernel.
"""
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..base.errors import BadInput
from .symbols import Symbols

PENDING = "pending"  # the only site at which a CPU goes on, and only its interrupts wait
EVENTS = ("rmpopt", "rmpupdate", "psmash", "wrmsr", "doorbell", "interrupt", PENDING)
TIME = r"([1-9]\d*)(ns|us|ms)"
FORM = re.compile(rf"([\w.]+(?:[+-]0x[0-9a-f]+)?)@(\d{{1,4}})#([1-9]\d*):{TIME}(/idle)?")
DISTANCE = re.compile(r"entry([+-])0x([0-9a-f]+)")
UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000}
LONGEST = 10 * 10 ** 9  # nanoseconds; the plugin's limit
MOST_FUNCTIONS = 1000  # for one pattern, so that QEMU's command line does not get too long
UNKNOWN = "the kernel's symbols are not known: give its System.map with --symbols"


def show_time(ns: int) -> str:
    return next(f"{ns // size}{unit}" for unit, size in reversed(UNITS.items()) if ns % size == 0)


@dataclass(frozen=True)
class Stall:
    site: str  # an event, a symbol with an offset, or "entry+0x12"
    cpu: int
    occurrence: int
    ns: int
    until_idle: bool = False  # it ends as soon as all other CPUs are idle

    def __str__(self) -> str:
        idle = "/idle" if self.until_idle else ""
        return f"{self.site}@{self.cpu}#{self.occurrence}:{show_time(self.ns)}{idle}"

    def sentence(self) -> str:
        does = "takes no interrupts for" if self.site == PENDING else "stalls"
        time = f"{self.ns / 1e6:.3g} ms{', or until all others are idle,' if self.until_idle else ''}"
        what = "the first interrupt" if self.site == PENDING else self.site
        where = f"occurrence {self.occurrence} of {self.site}" if self.occurrence > 1 else what
        return f"CPU {self.cpu} {does} {time} at {where}"


def parse(text: str) -> Stall:
    found = FORM.fullmatch(text)
    if found:
        site, cpu, occurrence, number, unit, idle = found.groups()
        if int(number) * UNITS[unit] <= LONGEST:
            return Stall(site, int(cpu), int(occurrence), int(number) * UNITS[unit], bool(idle))
    raise BadInput(f"--stall {text}: give SITE@CPU#OCCURRENCE:TIME, such as rmpopt@2#17:300us or "
                   f"function+0x45@0#1:3ms, with up to {LONGEST // 10 ** 9} s, and perhaps /idle; sites are "
                   f"{', '.join(EVENTS)} and places in the "
                   "kernel's code")


def _told(offset: int) -> str:
    return f"entry{'-' if offset < 0 else '+'}{abs(offset):#x}"


def _site(site: str, names: Symbols | None) -> str:
    if site in EVENTS or DISTANCE.fullmatch(site):
        return site
    if not names:
        raise BadInput(f"--stall {site}: {UNKNOWN}")
    offset = names.distance(site)
    if offset is None:
        raise BadInput(f"--stall {site}: the kernel has no function of that name")
    return _told(offset)


def named(site: str, names: Symbols | None) -> str:
    """The site as people read it, and as --stall takes it."""
    found = DISTANCE.fullmatch(site)
    if not found or not names:
        return site
    offset = int(found.group(1) + found.group(2), 16)
    name = names.named(offset)
    return name if name and names.distance(name) == offset else site


def plugin_words(stalls: Iterable[Stall], globs: Sequence[str], names: Symbols | None) -> list[str]:
    """The plugin's options for stalls, and for points in the functions that the patterns name."""
    words = [f"stall={replace(s, site=_site(s.site, names))}" for s in stalls]
    if globs and not names:
        raise BadInput(f"--at {globs[0]}: {UNKNOWN}")
    for glob in globs:
        functions = names.functions(glob) if names else []
        if not functions:
            raise BadInput(f"--at {glob}: the kernel has no function of that name")
        if len(functions) > MOST_FUNCTIONS:
            raise BadInput(f"--at {glob}: {len(functions)} functions are more than the {MOST_FUNCTIONS} that fit: "
                           "give a narrower pattern")
        words += [f"points-code={_told(offset)}+{size}" for offset, size in functions]
    return words
