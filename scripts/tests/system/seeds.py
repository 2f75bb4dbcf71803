# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots with the same seed are the same, whatever else the host does; with another seed they differ."""
import json
from functools import partial
from pathlib import Path

from .command import PROGRAMS, Checks, booted

# SNP guests come and go, and the kernel optimises their memory again.
WORK = ("--file", str(PROGRAMS / "snp-guest"), "--",
        "for i in 1 2 3; do /root/snp-guest launch 512K; done; sleep 15; dmesg | tail -3")
COMPARED = ("events.jsonl", "console.log", "status.log")


def _run(seed: int, *words: str) -> tuple[dict, dict[str, bytes]]:
    """The schedule that the plugin reports, and the files that a boot with the seed leaves."""
    with booted("--seed", str(seed), *words, *WORK) as report:
        schedule = json.loads((report / "report.json").read_text())["schedule"]
        return schedule, {name: Path(report, name).read_bytes() for name in COMPARED}


def _same(*words: str) -> str | None:
    (one, files), (other, others) = _run(7, *words), _run(7, *words)
    if one["events"] < 1000:
        return f"only {one['events']} events are part of the schedule's hash"
    differing = [name for name in COMPARED if files[name] != others[name]]
    return f"two runs differ in {', '.join(differing) or 'their schedule'}: {one}, {other}" \
        if differing or one != other else None


def _another() -> str | None:
    (one, _), (other, _) = _run(7), _run(8)
    return "runs with different seeds are the same" if one["hash"] == other["hash"] else None


def tests() -> Checks:
    return [("same seed, same run", partial(_same)),
            ("same seed, same run, Debian's kernel", partial(_same, "--kernel", "debian")),
            ("another seed, another run", _another)]
