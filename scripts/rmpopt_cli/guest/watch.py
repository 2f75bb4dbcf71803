# SPDX-License-Identifier: GPL-2.0-or-later
"""Findings of the plugin's watch, for people and programs."""
from .symbols import Symbols

MARK = {"error": "[ !! ]", "warning": "[warn]", "note": "[note]"}


def findings(report: dict | None, names: Symbols | None) -> list[dict]:
    """What the report has, each with the symbol of its RIP if there is one."""
    watch = (report or {}).get("watch") or {}
    lstar = int((report or {}).get("lstar") or "0", 16)
    found = []
    for finding in watch.get("findings", []):
        symbol = names.at(int(finding["rip"], 16), lstar) if names and finding["rip"] else None
        found.append({**finding, "symbol": symbol})
    return found


def serious(found: list[dict]) -> list[dict]:
    """Those that a kernel which works right does not get."""
    return [finding for finding in found if finding["severity"] != "note"]


def awaited(report: dict | None) -> list[str]:
    """What would be found if the guest had gone on and nothing had changed, in lines for people."""
    watch = (report or {}).get("watch") or {}
    return [f"{one['id']}, perhaps: looked for only {one['seconds']:.1f} s of {watch['bound_seconds']} s: {one['what']}"
            for one in watch.get("awaited", [])]


def summary(found: list[dict]) -> str:
    wrong = serious(found)
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return f"the watch found {wrong[0]['id']}: {wrong[0]['what']}{more}"


def _where(finding: dict) -> str:
    """When and where it was seen; if it was seen more than once, for the first time."""
    words = [f"{finding['seconds']:.3f} s"]
    if finding["cpu"] is not None:
        words.append(f"CPU {finding['cpu']}")
    if finding["rip"]:
        words.append(f"RIP {finding['symbol'] or finding['rip']}")
    which = f"first of {finding['count']} such events: " if finding["count"] > 1 else ""
    return which + ", ".join(words)


def lines(found: list[dict], awaited: list[str]) -> list[str]:
    out = []
    for finding in found:
        out.append(f"{MARK[finding['severity']]} {finding['id']}: {finding['what']} [{_where(finding)}]")
        out.append(f"       {finding['hint']}")
    return out + [f"{MARK['warning']} {line}" for line in awaited]
