#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs random programs of stores natively, then the same in a guest with protected pages.

Usage: random_stores.py NATIVE SEED PROGRAMS on|off RUNNER [ARGUMENT...]
RUNNER with its arguments starts the guest test; --append is added.
"""
import subprocess
import sys


def main(words: list[str]) -> int:
    if len(words) < 5:
        print(__doc__, file=sys.stderr)
        return 2
    native, seed, programs, crossing, *runner = words
    done = subprocess.run([native, seed, programs, crossing], capture_output=True, text=True)
    if done.returncode != 0:
        sys.stderr.write(done.stderr)
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
