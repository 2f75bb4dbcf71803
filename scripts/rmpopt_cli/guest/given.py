# SPDX-License-Identifier: GPL-2.0-or-later
"""What the user chose of boots that are otherwise made by a scenario or an experiment."""
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, field, replace
from typing import Any

from ..base import options
from ..provision.cache import Cache
from . import linux, policies
from .machine import MachineOptions
from .request import Request

CHOSEN = ("kernel", "modules", "append")  # of Request
FIXED = ("time", "thread", "watch", "no_plugin")  # of MachineOptions


@dataclass
class Given:
    """Fields of Request and of MachineOptions, by their names."""
    boot: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def add(parser: ArgumentParser) -> None:
        options.add(parser, Request, only=CHOSEN, unset=True)
        options.add(parser, MachineOptions, but=FIXED, unset=True)

    @classmethod
    def read(cls, arguments: Namespace) -> "Given":
        return cls(options.given(arguments, Request, CHOSEN), options.given(arguments, MachineOptions))

    def prepare(self, cache: Cache) -> None:
        """Refuses what no boot could use, and gets ready what they all need."""
        request = self.onto(Request())
        request.check()
        policies.check(cache, request.machine.policies, request.machine.library)
        linux.parts(cache, request)

    def onto(self, request: Request) -> Request:
        """The user's choices win; words for the kernel and policies are added to what is there."""
        words = " ".join(word for word in (request.append, self.boot.get("append", "")) if word)
        policies = [*request.machine.policies, *self.machine.get("policies", [])]
        machine = replace(request.machine, **{**self.machine, "policies": policies})
        return replace(request, **{**self.boot, "append": words, "machine": machine})
