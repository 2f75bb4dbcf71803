# SPDX-License-Identifier: GPL-2.0-or-later
"""The parser of the command line: each verb shows its own usage, and names the option that was probably meant."""
import argparse
import sys
from typing import Any, NoReturn

from .catalogue import did_you_mean
from .errors import USAGE


class Parser(argparse.ArgumentParser):
    def parse_known_args(self, *words: Any, **more: Any) -> tuple[argparse.Namespace, list[str]]:
        """Refuses here what the parser of all verbs would otherwise refuse, with a usage that says nothing of it."""
        found, unknown = super().parse_known_args(*words, **more)
        flag = next((word.partition("=")[0] for word in unknown if word.startswith("-")), "")
        if flag:
            self.error(f"no option {flag}{did_you_mean(flag, self._option_string_actions)}")
        if unknown:
            self.error(f"what is meant by: {' '.join(unknown)}?")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"rmpopt: error: {message}\n")
