# SPDX-License-Identifier: GPL-2.0-or-later
"""The choices that --policy sets. The model itself says which there are."""
import json
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import OK, BadInput, Failure
from ..base.paths import BUILD, PLUGIN
from ..base.shell import last_line, output
from ..provision import packages, project
from ..provision.cache import Cache

TOOL = Path("hw-model", "tools", "rmpopt-policies")
WIDEST = 110
NARROWEST_TEXT = 30


@dataclass(frozen=True)
class Policy:
    name: str
    default: str
    values: dict[str, str]  # what each stands for
    meaning: str
    source: str


def parse(text: str) -> list[Policy]:
    """What the model's tool prints."""
    return [Policy(p["name"], p["default"], {v["value"]: v["meaning"] for v in p["values"]}, p["meaning"], p["source"])
            for p in json.loads(text)["policies"]]


def _ask(tool: Path) -> str:
    status, text, problem = output([tool])
    if status != OK:
        raise Failure(f"{tool}: {last_line(problem)}")
    return text


def _own(cache: Cache) -> str:
    """From this checkout, built if need be."""
    cache.prepare()
    packages.ensure(cache)
    project.build(cache, None, [TOOL])
    return _ask(BUILD / TOOL)


def show(cache: Cache, as_json: bool) -> int:
    text = _own(cache)
    print(text.rstrip() if as_json else "\n".join(table(parse(text), shutil.get_terminal_size().columns)))
    return OK


def check(cache: Cache, wanted: Sequence[str], plugin: Path | None) -> None:
    """Refuses what the plugin would refuse, before anything is started."""
    if not wanted:
        return
    known = _known_to(cache, plugin)
    for text in wanted if known else ():
        check_one(known, text)


def _known_to(cache: Cache, plugin: Path | None) -> list[Policy]:
    """Empty when a plugin from elsewhere has no tool beside it: then it has to judge itself."""
    if plugin in (None, PLUGIN):
        return parse(_own(cache))
    tool = plugin.parent.parent / TOOL
    return parse(_ask(tool)) if tool.is_file() else []


def check_one(known: Sequence[Policy], text: str) -> None:
    name, _, value = text.partition("=")
    policy = next((p for p in known if p.name == name), None)
    if policy is None:
        raise BadInput(f"--policy {text}: no policy '{name}': 'scripts/rmpopt policies' explains those there are: "
                       f"{', '.join(p.name for p in known)}")
    if value not in policy.values:
        raise BadInput(f"--policy {text}: {name} can't be '{value}': give {' or '.join(policy.values)}")


def _values(policy: Policy) -> str:
    return ", ".join(value + ("*" if value == policy.default else "") for value in policy.values)


def table(known: Sequence[Policy], columns: int) -> list[str]:
    """For a terminal: name, values, meaning and source below each other, and a legend."""
    rows = [("POLICY", "VALUES", ["WHAT IT DECIDES"])]
    rows += [(p.name, _values(p), [p.meaning, f"source: {p.source}"]) for p in known]
    left = [max(len(row[i]) for row in rows) for i in (0, 1)]
    room = max(min(columns, WIDEST) - sum(left) - 4, NARROWEST_TEXT)
    lines = []
    for name, values, texts in rows:
        wrapped = [line for text in texts for line in textwrap.wrap(text, room, break_on_hyphens=False)]
        lines.append(f"{name:{left[0]}}  {values:{left[1]}}  {wrapped[0]}")
        lines += [" " * (sum(left) + 4) + line for line in wrapped[1:]]
    return [*lines, "", *_legend(known, min(columns, WIDEST))]


def _legend(known: Sequence[Policy], columns: int) -> list[str]:
    words = {value: meaning for policy in known for value, meaning in policy.values.items()}
    left = max(map(len, words)) + 2
    room = max(columns - left, NARROWEST_TEXT)
    lines = ["* the default. The values:"]
    for value, meaning in words.items():
        lines += textwrap.wrap(f"{value:{left}}{meaning}", left + room, subsequent_indent=" " * left)
    return lines
