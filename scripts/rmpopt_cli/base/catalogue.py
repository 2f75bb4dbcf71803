# SPDX-License-Identifier: GPL-2.0-or-later
"""Words that the user gives and that must be known, such as the names of a table's rows."""
import difflib
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from .errors import BadInput


class Named(Protocol):
    @property
    def name(self) -> str: ...


Row = TypeVar("Row", bound=Named)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """For a message about a word that is not known; empty if no known word is close to it."""
    close = difflib.get_close_matches(word, known, 1)
    return f" (did you mean {close[0]}?)" if close else ""


def chosen(table: Sequence[Row], names: Sequence[str], what: str) -> list[Row]:
    """In the order of the names; "all" stands for the whole table."""
    if "all" in names:
        return list(table)
    rows = {row.name: row for row in table}
    for name in names:
        if name not in rows:
            raise BadInput(f"no {what} '{name}'{did_you_mean(name, rows)}: 'rmpopt {what} list' explains those there "
                           f"are: {', '.join(rows)}")
    return [rows[name] for name in names]
