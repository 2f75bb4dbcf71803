#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs a fuzzer on generated seeds. With the same --runs every time the same happens."""
import argparse
import pathlib
import random
import subprocess
import sys
import tempfile

SEEDS = 24
MAX_LEN = 768


def write_seeds(directory: pathlib.Path) -> None:
    """Every row of bytes is a program; short ones and long ones, the same on each machine."""
    rng = random.Random(1)
    for i in range(SEEDS):
        directory.joinpath(f"seed-{i:02}").write_bytes(rng.randbytes(MAX_LEN * (i + 1) // SEEDS))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fuzzer", type=pathlib.Path, help="for example build/hw-model/fuzz/firmware_fuzz")
    parser.add_argument("--runs", type=int, default=-1, help="inputs to try (default: without end)")
    parser.add_argument("--seconds", type=int, default=0, help="stop after this time (default: never)")
    parser.add_argument("--corpus", type=pathlib.Path, help="directory to keep interesting inputs in")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found, seeds = pathlib.Path(scratch, "found"), pathlib.Path(scratch, "seeds")
        found.mkdir()
        seeds.mkdir()
        write_seeds(seeds)
        if args.corpus:
            args.corpus.mkdir(parents=True, exist_ok=True)
            found = args.corpus
        # An input that breaks something is left as ./crash-...
        done = subprocess.run([args.fuzzer.resolve(), "-seed=1", f"-runs={args.runs}",
                               f"-max_total_time={args.seconds}",
                               f"-max_len={MAX_LEN}", "-print_final_stats=1", found, seeds], check=False)
        return 1 if done.returncode else 0  # the fuzzer's own status, 77, means to Meson that a test was skipped


if __name__ == "__main__":
    sys.exit(main())
