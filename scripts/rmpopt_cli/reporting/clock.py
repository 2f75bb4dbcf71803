# SPDX-License-Identifier: GPL-2.0-or-later
"""One clock for a guest that started anew: each start counts its time from 0; here they follow one another."""
from collections.abc import Iterator

Span = tuple[float, float | None]


def in_a_row(events: list[dict]) -> bool:
    """Shifts each start of the guest behind the one before. False when there was one only."""
    shift, latest, has_shifted = 0.0, 0.0, False
    for event in events:
        if event["type"] == "boot" and event["t"] + shift < latest:
            shift, has_shifted = latest, True
        event["t"] = latest = max(latest, event["t"] + shift)
    return has_shifted


def _spans(events: list[dict]) -> Iterator[Span]:
    """Of the phases, from what began and ended them."""
    start: float | None = None
    has_begun = False
    for event in events:
        if event["type"] == "measure" and event["mode"] != "off" and not has_begun:
            start, has_begun = event["t"], True
        elif event["type"] == "mark":
            if start is not None:
                yield start, event["t"]
            start, has_begun = event["t"] if event["name"] else None, True
    if start is not None:
        yield start, None


def shift_phases(phases: list[dict], events: list[dict]) -> None:
    """After in_a_row. Phases of which the events do not tell stay as they are."""
    spans = list(_spans(events))
    if len(spans) == len(phases):
        for phase, (start, end) in zip(phases, spans):
            phase["start"], phase["end"] = start, end
