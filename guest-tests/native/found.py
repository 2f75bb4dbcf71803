#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs tests/guest_rules.c with the watch on; it must find what the guest test says, and nothing else.

Usage: found.py RUNNER [ARGUMENT...]
RUNNER with its arguments starts the guest test; --watch and --report are added.
"""
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

EXPECTED = re.compile(r"^# expect finding=(\S+) asid=(\d+) count=(\d+)", re.M)
ABOUT = re.compile(r"the guest with ASID (\d+) ")


def main(runner: list[str]) -> int:
    if not runner:
        print(__doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="rmpopt-") as directory:
        report = Path(directory, "report.json")
        done = subprocess.run([*runner, "--watch", "on", "--report", str(report)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(f"not ok: the guest test failed: {(done.stdout + done.stderr)[-2000:]}")
            return 1
        findings = json.loads(report.read_text())["watch"]["findings"]
    expected = {(name, int(asid), int(count)) for name, asid, count in EXPECTED.findall(done.stdout)}
    about = [(found, ABOUT.match(found["what"])) for found in findings if found["id"].startswith("guest-")]
    got = {(found["id"], int(guest[1]), found["count"]) for found, guest in about if guest}
    print(f"{len(got)} findings")
    if not expected or got != expected or not all(guest for _, guest in about):
        print(f"not ok: found {sorted(got)}, expected {sorted(expected)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
