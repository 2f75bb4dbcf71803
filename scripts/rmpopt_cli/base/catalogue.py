# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of a table that the user names."""
from collections.abc import Sequence
from typing import Protocol, TypeVar

from .errors import BadInput


class Named(Protocol):
    @property
    def name(self) -> str: ...


Row = TypeVar("Row", bound=Named)


def chosen(table: Sequence[Row], names: Sequence[str], what: str) -> list[Row]:
    """In the order of the names; "all" stands for the whole table."""
    if "all" in names:
        return list(table)
    rows = {row.name: row for row in table}
    for name in names:
        if name not in rows:
            raise BadInput(f"no {what} '{name}': 'rmpopt {what} list' shows them")
    return [rows[name] for name in names]
