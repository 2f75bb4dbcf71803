# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes one time line for a guest that was reset. Its clock starts at 0 after each reset; here times go on."""
from collections.abc import Iterator

Span = tuple[float, float | None]


def in_a_row(events: list[dict]) -> bool:
    """Shifts the events after each reset behind those before it. Returns False if there was no reset."""
    shift, latest, has_shifted = 0.0, 0.0, False
    for event in events:
        if event["type"] == "boot" and event["t"] + shift < latest:
            shift, has_shifted = latest, True
        event["t"] = latest = max(latest, event["t"] + shift)
    return has_shifted


def _spans(events: list[dict]) -> Iterator[Span]:
    """Start and end of each phase, from the events that began and ended it."""
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
    """Takes the times of the phases from the events, after in_a_row(). Does nothing if the two do not match."""
    spans = list(_spans(events))
    if len(spans) == len(phases):
        for phase, (start, end) in zip(phases, spans):
            phase["start"], phase["end"] = start, end
