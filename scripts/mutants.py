#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Breaks each rule of the hardware model in turn; its tests must notice.

The table is hw-model/mutants/*.toml. Exit status 1: a mutant survived that its table does not
explain, does not apply or does not compile."""
import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib

MODEL = pathlib.Path(__file__).resolve().parent.parent / "hw-model"
TARGETS = ["hw-model/tests/hw-model-test", "hw-model/tests/psp-test"]
THOROUGH = "hw-model/tests/small-world-test"
PROJECT = """project('mutants', 'cpp', default_options: ['cpp_std=c++20', 'optimization=0', 'debug=false'])
add_project_arguments('-D_GNU_SOURCE', language: 'cpp')
subdir('hw-model')
"""
TIMEOUT = 300
GOOD = ("killed", "explained")


@dataclasses.dataclass
class Mutant:
    file: str
    rule: str
    text: str
    replacement: str
    explained: str = ""  # why no test can notice
    result: str = ""
    by: str = ""  # the first test that failed

    @property
    def name(self) -> str:
        return f"{pathlib.Path(self.file).stem}: {self.rule}"


def load(pattern: str) -> list[Mutant]:
    found = []
    for path in sorted(MODEL.joinpath("mutants").glob("*.toml")):
        table = tomllib.loads(path.read_text())
        for m in table["mutant"]:
            found.append(Mutant(table["file"], m["rule"], m["text"], m["with"], m.get("explained", "")))
    return [m for m in found if re.search(pattern, m.name)]


class Tree:
    """A copy of the model with its own build directory."""

    def __init__(self, root: pathlib.Path, targets: list[str]) -> None:
        self.root = root
        self.targets = targets
        shutil.copytree(MODEL, root / "hw-model")
        root.joinpath("meson.build").write_text(PROJECT)
        subprocess.run(["meson", "setup", root / "build", root], check=True, capture_output=True)

    def build(self) -> bool:
        done = subprocess.run(["ninja", "-j1", "-C", self.root / "build", *self.targets], check=False,
                              capture_output=True)
        return done.returncode == 0

    def failing(self) -> str:
        """The first test that fails; empty when all pass."""
        environment = {**os.environ, "RC_PARAMS": "seed=1", "GTEST_FAIL_FAST": "1", "GTEST_BRIEF": "1"}
        for target in self.targets:
            try:
                done = subprocess.run([self.root / "build" / target], check=False, capture_output=True, text=True,
                                      env=environment, timeout=TIMEOUT)
            except subprocess.TimeoutExpired:
                return f"{target} (time)"
            if done.returncode != 0:
                failed = [line for line in done.stdout.splitlines() if line.startswith("[  FAILED  ]")]
                return failed[0].split()[3].rstrip(",") if failed else f"{target} (exit {done.returncode})"
        return ""

    def judge(self, mutant: Mutant) -> None:
        path = self.root / "hw-model" / mutant.file
        original = path.read_text()
        if original.count(mutant.text) != 1:
            mutant.result = "does not apply"
            return
        path.write_text(original.replace(mutant.text, mutant.replacement))
        try:
            if not self.build():
                mutant.result = "does not compile"
                return
            mutant.by = self.failing()
            mutant.result = "killed" if mutant.by else "explained" if mutant.explained else "survived"
        finally:
            path.write_text(original)


def run(mutants: list[Mutant], jobs: int, targets: list[str], quiet: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        trees: queue.Queue[Tree] = queue.Queue()

        def prepare(number: int) -> None:
            tree = Tree(pathlib.Path(scratch, str(number)), targets)
            failed = "the build" if not tree.build() else tree.failing()
            if failed:
                sys.exit(f"without any mutant this fails already: {failed}")
            trees.put(tree)

        def judge(mutant: Mutant) -> None:
            tree = trees.get()
            try:
                tree.judge(mutant)
            finally:
                trees.put(tree)
            if not quiet:
                print(f"{mutant.result:16} {mutant.name}" + (f"  [{mutant.by}]" if mutant.by else ""), flush=True)

        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            list(pool.map(prepare, range(jobs)))
            list(pool.map(judge, mutants))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", metavar="PATTERN", help="mutants whose 'file: rule' matches this regular expression")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--thorough", action="store_true", help="ask the small world as well (minutes for each)")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    mutants = load(args.only)
    if not mutants:
        parser.error("no such mutant")
    run(mutants, args.jobs, TARGETS + ([THOROUGH] if args.thorough else []), args.json)
    bad = [m for m in mutants if m.result not in GOOD]
    if args.json:
        print(json.dumps([dataclasses.asdict(m) for m in mutants], indent=1))
    else:
        print(f"{len(mutants)} mutants, {sum(m.result == 'killed' for m in mutants)} killed, {len(bad)} to look at")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
