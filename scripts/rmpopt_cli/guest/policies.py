# SPDX-License-Identifier: GPL-2.0-or-later
"""The choices that --policy sets, as the model lists them."""
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..base.catalogue import did_you_mean
from ..base.errors import OK, BadInput, Failure
from ..base.paths import BUILD, COMMAND, PLUGIN
from ..base.shell import last_line, output
from ..provision import packages, project
from ..provision.cache import Cache

TOOL = Path("hw-model", "tools", "rmpopt-policies")


@dataclass(frozen=True)
class Policy:
    name: str
    default: str
    values: dict[str, str]  # value: meaning
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


def own(cache: Cache) -> str:
    """What the tool of this checkout prints; it is built if need be."""
    cache.prepare()
    packages.ensure(cache)
    project.build(cache, [TOOL])
    return _ask(BUILD / TOOL)


def check(cache: Cache, wanted: Sequence[str], plugin: Path | None) -> None:
    """Refuses policies that the plugin would refuse, before anything is started."""
    if not wanted:
        return
    known = _known_to(cache, plugin)
    for text in wanted if known else ():
        check_one(known, text)


def _known_to(cache: Cache, plugin: Path | None) -> list[Policy]:
    """The policies that a plugin knows. Empty if a plugin from elsewhere has no tool beside it; it then judges
    itself."""
    if plugin in (None, PLUGIN):
        return parse(own(cache))
    tool = plugin.parent.parent / TOOL
    return parse(_ask(tool)) if tool.is_file() else []


def check_one(known: Sequence[Policy], text: str) -> None:
    name, _, value = text.partition("=")
    policy = next((p for p in known if p.name == name), None)
    if policy is None:
        names = [p.name for p in known]
        raise BadInput(f"--policy {text}: no policy '{name}'{did_you_mean(name, names)}: '{COMMAND} policies' explains "
                       f"those there are: {', '.join(names)}")
    if value not in policy.values:
        raise BadInput(f"--policy {text}: {name} can't be '{value}': give {' or '.join(policy.values)}")
