#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs random programs of stores natively, then the same in a guest with protected pages.

Usage: random_stores.py NATIVE SEED PROGRAMS on|off RUNNER [ARGUMENT...]
RUNNER with its arguments starts the guest test; --append is added.
"""
import signal
import subprocess
import sys

# The programs use RSP like any other register. That is legal, but some hypervisors raise #UD or #GP when they
# interrupt a process whose RSP is no canonical address, in about one run of a hundred.
ATTEMPTS = 5


def run_natively(argv: list[str]) -> subprocess.CompletedProcess[str]:
    for _ in range(ATTEMPTS):
        done = subprocess.run(argv, capture_output=True, text=True)
        if done.returncode >= 0:
            break
    return done


def main(words: list[str]) -> int:
    if len(words) < 5:
        print(__doc__, file=sys.stderr)
        return 2
    native, seed, programs, crossing, *runner = words
    done = run_natively([native, seed, programs, crossing])
    if done.returncode != 0:
        reason = signal.Signals(-done.returncode).name if done.returncode < 0 else f"status {done.returncode}"
        print(f"{done.stderr}the native run ended with {reason}", file=sys.stderr)
        return 1
    expected = done.stdout.strip()
    append = f"seed={seed} programs={programs} crossing={crossing} expect={expected}"
    status = subprocess.run([*runner, "--append", append]).returncode
    if status != 0:
        # Finds the program at which the two diverge.
        print("natively:", *done.stderr.splitlines(), sep="\n# ")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
