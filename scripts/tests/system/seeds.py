# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots with the same seed are the same and measure the same, whatever else the host does; with another seed they
differ."""
import json
from functools import partial
from pathlib import Path

from rmpopt_cli.base.errors import GUEST_DIED, QEMU_FAILED, VERDICT
from rmpopt_cli.guest.schedule import RECORD
from .command import PROGRAMS, Checks, booted, refused, rmpopt, scratch

# SNP guests come and go, and the kernel optimises their memory again.
WORK = ("--file", str(PROGRAMS / "snp-guest"), "--",
        "for i in 1 2 3; do /root/snp-guest launch 512K; done; sleep 15; dmesg | tail -3")
COMPARED = ("events.jsonl", "console.log", "status.log", "schedule.bin", "report.csv")


def _schedule(report: Path) -> dict:
    return json.loads((report / "report.json").read_text())["schedule"]


def _same(*words: str) -> str | None:
    boot = ("--seed", "7", "--measure", "exact+tlb", *words)
    with booted(*boot, *WORK) as earlier, booted(*boot, "--same-as", earlier, *WORK) as later:
        one, other = _schedule(earlier), _schedule(later)
        if one["events"] < 1000:
            return f"only {one['events']} events are part of the schedule's hash"
        differing = [name for name in COMPARED if (earlier / name).read_bytes() != (later / name).read_bytes()]
        return f"two runs differ in {', '.join(differing) or 'their schedule'}: {one}, {other}" \
            if differing or one != other else None


def _powered_off() -> str | None:
    """A guest that powers itself off is measured up to the last tick or mark before."""
    with scratch() as top:
        csv = []
        for name in ("earlier", "later"):
            report = Path(top, name)
            done = rmpopt("boot", "--seed", "7", "--measure", "exact", "--report", report, "--",
                          "rmpopt-mark work; sleep 1; poweroff -f")
            if done.status != GUEST_DIED:
                return f"status {done.status}: {done.told[-300:]}"
            csv.append((report / "report.csv").read_text())
    return None if csv[0] == csv[1] and "work," in csv[0] else "report.csv is not the same, or has no phase"


def _another() -> str | None:
    """Also shows that a run which parts from an earlier one is noticed."""
    with booted("--seed", "7", *WORK) as earlier:
        file = earlier / "schedule.bin"
        file.write_bytes(file.read_bytes()[:-RECORD.size])
        shortened = rmpopt("boot", "--seed", "7", "--same-as", earlier, *WORK)
        other = rmpopt("boot", "--seed", "8", "--same-as", earlier, *WORK)
    for done, says in ((shortened, "was nothing more, now "),
                       (other, "not the same run: its seed was 7, and now it is 8; event ")):
        if done.status != VERDICT or says not in done.told:
            return f"status {done.status}, and nothing about '{says}': {done.told[-300:]}"
    return None


def _turns() -> str | None:
    """CPUs take turns in the order that is given, which has to have them all; theirs is 0:1:2:3."""
    hashes = []
    for words in ((), ("--turns", "0:1:2:3"), ("--turns", "0:2:1:3")):
        with booted("--seed", "7", *words, "--", "true") as report:
            hashes.append(_schedule(report)["hash"])
    if hashes[0] != hashes[1] or hashes[1] == hashes[2]:
        return f"hashes of the usual order, the same one, and another: {', '.join(hashes)}"
    return refused(QEMU_FAILED, "option turns: it has 2 CPUs, and the machine has 4", "boot", "--seed", "7",
                   "--turns", "0:1")


def tests() -> Checks:
    return [("same seed, same run", partial(_same)),
            ("same seed, same run, Debian's kernel", partial(_same, "--kernel", "debian")),
            ("same seed, same counts until it powers off", _powered_off),
            ("another seed, another run", _another), ("turns in another order", _turns)]
