# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's command lines as other tools write them, put onto our machine.

What the machine is made of is replaced: its type, CPU model, accelerator and memory. All else stays.
"""
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..base.errors import BadInput
from .machine import MachineOptions, check_smp, parse_size

REPLACED = ("-machine", "-M", "-cpu", "-accel", "-numa")
LOOKED_AT = (*REPLACED, "-m", "-smp", "-object", "-kernel", "-append")
SWITCHES = ("-enable-kvm", "-no-kvm", "-nodefaults", "-no-user-config")
QUESTIONS = ("-version", "-h", "-help")
ASKED = ("-machine", "-M", "-cpu", "-accel", "-device", "-object", "-netdev", "-chardev", "-d", "-display", "-vga")
ANSWERED = ("help", "?")
MEMORY = re.compile(r"memory-backend-\w+,")


@dataclass(frozen=True)
class Foreign:
    """A command line without QEMU's name."""
    rest: list[str]             # what stays
    memory: str = ""            # of -m
    smp: str = ""
    kernel: Path | None = None

    def onto(self, machine: MachineOptions, chosen: set[str]) -> MachineOptions:
        """The machine with the size that the other tool wants, as far as the user has not chosen it."""
        wanted = {}
        if self.memory and "memory" not in chosen:
            wanted["memory"] = parse_size(self.memory)
        if self.smp and "smp" not in chosen:
            wanted["smp"] = check_smp(self.smp)
        return replace(machine, **wanted)


def is_question(words: Sequence[str]) -> bool:
    """Whether QEMU is asked what it can do, and no machine starts."""
    for name, value in zip([_name(word) for word in words], [*words[1:], ""]):
        if name in QUESTIONS or name in ASKED and value.rpartition(",")[2] in ANSWERED:
            return True
    return False


def _name(word: str) -> str:
    """An option may begin with two dashes."""
    return word[1:] if word.startswith("--") else word


def read(words: Sequence[str]) -> Foreign:
    rest: list[str] = []
    found: dict[str, str] = {}
    left = iter(words)
    for word in left:
        name = _name(word)
        if name in SWITCHES:
            continue
        if name not in LOOKED_AT:
            rest.append(word)
            continue
        value = next(left, None)
        if value is None:
            raise BadInput(f"{word} without a value")
        found[name] = value
        if name in ("-kernel", "-append") or name == "-object" and not MEMORY.match(value):
            rest += [name, value]
    memory = found.get("-m", "").split(",")[0].removeprefix("size=")
    kernel = found.get("-kernel")
    return Foreign(rest, memory, found.get("-smp", ""), Path(kernel) if kernel else None)
