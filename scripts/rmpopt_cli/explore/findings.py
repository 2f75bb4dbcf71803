# SPDX-License-Identifier: GPL-2.0-or-later
"""What a search has found, by how often it was found."""
from collections.abc import Sequence
from typing import Protocol


class Result(Protocol):
    seed: int
    verdict: str
    finding: str
    detail: str
    stalls: list[str]
    minimised: list[str] | None
    seconds: float


def summary(runs: Sequence[Result]) -> dict:
    found: dict[str, list[Result]] = {}
    for run in sorted(runs, key=lambda run: run.seed):
        if run.verdict == "fail":
            found.setdefault(run.finding, []).append(run)
    rows = [{"finding": finding, "runs": len(alike), "seeds": [run.seed for run in alike], "example": alike[0].detail,
             "stalls": min((run.minimised or run.stalls for run in alike), key=len)}
            for finding, alike in sorted(found.items(), key=lambda item: -len(item[1]))]
    return {"schema": 1, "runs": len(runs), "failed": sum(run.verdict == "fail" for run in runs),
            "skipped": sum(run.verdict == "skip" for run in runs), "findings": rows}


def lines(told: dict) -> list[str]:
    out = []
    if told["findings"]:
        out.append(f"{'runs':>5}  {'first seed':>10}  finding")
    for row in told["findings"]:
        out.append(f"{row['runs']:>5}  {row['seeds'][0]:>10}  {row['finding']}")
        out += [f"{'':19}{stall}" for stall in row["stalls"]]
    skipped = f", {told['skipped']} skipped" if told["skipped"] else ""
    return [*out, f"{told['runs']} runs, {told['failed']} failed{skipped}"]
