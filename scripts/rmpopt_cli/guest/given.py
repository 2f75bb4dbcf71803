# SPDX-License-Identifier: GPL-2.0-or-later
"""The user's choices for boots that a scenario or an experiment makes."""
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..base import options
from ..provision.cache import Cache
from . import linux, policies
from .machine import MachineOptions
from .request import Request
from .stalls import Stall

CHOSEN = ("kernel", "build", "modules", "append")  # fields of Request that the user may set
FIXED = ("time", "thread", "watch", "no_plugin", "rmpopt")  # fields of MachineOptions that the user may not set


@dataclass
class Given:
    """Values for fields of Request and MachineOptions."""
    boot: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def add(parser: ArgumentParser, *more: str) -> None:
        """more: further fields of Request."""
        options.add(parser, Request, only=(*CHOSEN, *more), unset=True)
        options.add(parser, MachineOptions, but=FIXED, unset=True)

    @classmethod
    def read(cls, arguments: Namespace, *more: str) -> "Given":
        return cls(options.given(arguments, Request, (*CHOSEN, *more)), options.given(arguments, MachineOptions))

    def words(self) -> list[str]:
        """The command line that gives this."""
        return [*options.words(Request, self.boot), *options.words(MachineOptions, self.machine)]

    def prepare(self, cache: Cache, stalls: Sequence[Stall] = (), at: Sequence[str] = ()) -> None:
        """Refuses bad input before the first boot, that with these stalls and --at included, and makes what all boots
        need."""
        request = self.onto(Request())
        request.check()
        policies.check(cache, request.machine.policies, request.machine.library)
        linux.points(replace(request, stalls=[*stalls], at=[*at]), linux.parts(cache, request).kernel)

    def onto(self, request: Request) -> Request:
        """The request with the user's choices. Kernel words and policies are added to those of the request; all else
        replaces it."""
        words = " ".join(word for word in (request.append, self.boot.get("append", "")) if word)
        policies = [*request.machine.policies, *self.machine.get("policies", [])]
        machine = replace(request.machine, **{**self.machine, "policies": policies})
        return replace(request, **{**self.boot, "append": words, "machine": machine})
