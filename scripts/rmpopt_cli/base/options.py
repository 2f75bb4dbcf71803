# SPDX-License-Identifier: GPL-2.0-or-later
"""Dataclass fields that are also command-line options. Each option is defined once, together with its text."""
import argparse
import shlex
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .errors import BadInput

METADATA = "option"


def shown(value: Any) -> str:
    return "" if value is None or isinstance(value, Path) else str(value)


@dataclass(frozen=True)
class Option:
    """How a field is given on the command line and passed to the plugin."""
    help: str
    flag: str = ""  # "" derives it from the field's name
    metavar: str = ""
    choices: Collection[str] = ()
    parse: Callable[[str], Any] = str  # raises BadInput with a line that names the flag
    show: Callable[[Any], str] = shown  # formats a default for the help text; "" hides it
    action: str = "store"
    plugin: str = ""  # the plugin's name for the option; "" if the plugin has none
    untold: Any = None  # the plugin's own default, which need not be passed

    def flag_of(self, name: str) -> str:
        return self.flag or "--" + name.replace("_", "-")

    def told(self, value: Any) -> list[str]:
        """The words that pass a value to the plugin."""
        if not self.plugin or value == self.untold:
            return []
        if self.action == "append":
            return [f"{self.plugin}{item}" for item in value]
        return [f"{self.plugin}={value}"]


def option(default: Any, help: str, flag: str = "", metavar: str = "", **more: Any) -> Any:
    """An option with one value. `more` are fields of Option."""
    return field(default=default, metadata={METADATA: Option(help, flag, metavar, **more)})


def switch(help: str) -> Any:
    """An option without a value; off by default."""
    return field(default=False, metadata={METADATA: Option(help, action="store_true")})


def repeated(help: str, flag: str, metavar: str, action: str = "append", **more: Any) -> Any:
    """An option that may be repeated. With the action "extend", its parse returns a list."""
    return field(default_factory=list, metadata={METADATA: Option(help, flag, metavar, action=action, **more)})


def of(kind: type) -> Iterator[tuple[str, Option, Any]]:
    """Name, option and default of each field that is an option."""
    for each in fields(kind):
        if METADATA in each.metadata:
            yield each.name, each.metadata[METADATA], [] if each.default_factory is list else each.default


def directory(flag: str) -> Callable[[str], Path]:
    """Parses a directory to write to, which is made if it is not there. That of which it is a part must be there: a
    path with a mistake in it is refused, and not made."""
    def parse(text: str) -> Path:
        above = Path(text).absolute().parent
        if not above.is_dir():
            raise BadInput(f"{flag} {text}: there is no directory {above}: make it first, or give another")
        return Path(text)
    return parse


def add(parser: argparse.ArgumentParser, kind: type, only: Collection[str] = (), but: Collection[str] = (),
        unset: bool = False, **defaults: Any) -> None:
    """Adds the options of a dataclass. `defaults` override those of the fields. With `unset` there are no defaults,
    so that given() returns only what the user gave."""
    for name, each, own in of(kind):
        if (only and name not in only) or name in but:
            continue
        default = defaults.get(name, own)
        hint = "" if unset or each.action != "store" else each.show(default)
        words: dict[str, Any] = {"dest": name, "action": each.action,
                                 "help": each.help + (f" (default: {hint})" if hint else "")}
        if each.action != "store_true":
            words |= {"type": each.parse, "metavar": each.metavar or None}
        if each.choices:
            words["choices"] = each.choices
        parser.add_argument(each.flag_of(name), default=argparse.SUPPRESS if unset else default, **words)


def words(kind: type, values: dict[str, Any]) -> list[str]:
    """The command line that sets these fields of a dataclass."""
    found = []
    for name, each, _ in of(kind):
        if name not in values:
            continue
        flag, value = each.flag_of(name), values[name]
        if each.action == "store_true":
            found += [flag] if value else []
        elif each.action == "extend":
            found += [flag, shlex.join(value)] if value else []
        else:
            found += [word for one in (value if each.action == "append" else [value])
                      for word in (flag, each.show(one) or str(one))]
    return found


def chosen(found: Any) -> dict[str, Any]:
    """The options of a dataclass that are not as they are by default, by their flags, for JSON."""
    def plain(each: Option, value: Any) -> Any:
        if isinstance(value, list):
            return [plain(each, one) for one in value]
        return value if value is True else each.show(value) or str(value)
    return {each.flag_of(name): plain(each, getattr(found, name)) for name, each, default in of(type(found))
            if getattr(found, name) != default}


def given(arguments: argparse.Namespace, kind: type, only: Collection[str] = ()) -> dict[str, Any]:
    """The values of those fields of a dataclass that the command line sets."""
    return {name: getattr(arguments, name) for name, _, _ in of(kind)
            if hasattr(arguments, name) and (not only or name in only)}
