#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks report.json and events.jsonl of report directories against the schemas beside this file.

Usage: validate.py DIR...
Needs Debian's python3-jsonschema. Exit status 0, 1 with a line for each deviation, or 2 when there is nothing to check.
"""
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from jsonschema import Draft202012Validator, RefResolver, ValidationError

HERE = Path(__file__).resolve().parent


def _validator(name: str) -> Draft202012Validator:
    path = HERE / name
    schema = json.loads(path.read_text())
    return Draft202012Validator(schema, resolver=RefResolver(path.as_uri(), schema))


def _line(error: ValidationError) -> str:
    """The innermost reason: that of several forms none fits tells little."""
    while error.context:
        error = max(error.context, key=lambda one: len(one.absolute_path))
    return f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}"


def deviations(directory: Path) -> Iterator[str]:
    report = json.loads((directory / "report.json").read_text())
    for error in _validator("report.schema.json").iter_errors(report):
        yield f"report.json: {_line(error)}"
    events = _validator("event.schema.json")
    *lines, _cut = (directory / "events.jsonl").read_text().split("\n")  # a killed QEMU leaves the last one unfinished
    for number, line in enumerate(lines, 1):
        for error in events.iter_errors(json.loads(line)):
            yield f"events.jsonl:{number}: {_line(error)}"


def main(words: list[str]) -> int:
    if not words:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        found = [f"{directory}: {what}" for directory in words for what in deviations(Path(directory))]
    except (OSError, ValueError) as problem:
        print(f"validate.py: error: {problem}", file=sys.stderr)
        return 2
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
