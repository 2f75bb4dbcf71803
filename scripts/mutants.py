#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes small mistakes in the hardware model; its tests must notice them.

Every mutant is one mistake in the sources of hw-model/: a negated condition, a dropped statement, another operator,
constant or enumerator. Some are drawn at random, and the model's tests run with one at a time. Exit status 1: fewer
than 95 % were killed. The seed is printed: with the same sources it draws the same mutants."""
import argparse
import concurrent.futures
import dataclasses
import itertools
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
NOT_THE_MODEL = {"tests", "fuzz", "sanitizers", "tools", "benchmarks"}
WANTED = 0.95
SLOW = "*little_time*"  # as long as all others
NO = "does not compile"
# Without optimisation the tests take longer than the compiler saves.
PROJECT = """project('mutants', 'cpp',
  default_options: ['cpp_std=c++20', 'optimization=1', 'debug=false', 'tests=true'])
built = 'nowhere'
add_project_arguments('-D_GNU_SOURCE', '-D_GLIBCXX_ASSERTIONS', '-Werror=return-type', language: 'cpp')
subdir('hw-model')
"""

# What no test of the model can notice: comments, preprocessor lines, text, assertions. Of headers only the bodies of
# functions are touched: the constants around them are the ABI's, and tests call them by their names as well.
NESTED = r"\((?:[^()]|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))*\)"
HIDDEN = re.compile(r"//[^\n]*|^[ \t]*#[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])'|\b(?:static_)?assert" + NESTED,
                    re.M)
BODY = re.compile(r"\)[\s\w]*(?::[^;{}]*(?:\{[^{}]*\}[^;{}]*)*)?\{")

ENUM = re.compile(r"\benum class (\w+)[^{};]*\{([^}]*)\}")
SWAPS = {"==": "!=", "!=": "==", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "&&": "||", "||": "&&", "+": "-", "-": "+",
         "&": "|", "|": "&", "<<": ">>", ">>": "<<", "+=": "-=", "-=": "+=", "|=": "&=", "&=": "|=",
         "true": "false", "false": "true", "?": "== false ?"}
NUMBER = re.compile(r"(?<![\w.'])(0x[\da-f']+|[\d']+)(?=[ul]*(?![\w.']))", re.I)
TARGET = r"[\w.:*\[\]()>-]+"
STATEMENT = re.compile(r"(?<=[;{}:])\n\s+((?:return\b[^;{}]*|break|continue|" + TARGET + r"\s[-+*/|&^<>]*=\s[^;{}]+|" +
                       r"[\w.:>-]+\([^;{}]*\)|(?:\+\+|--)" + TARGET + "|" + TARGET + r"(?:\+\+|--));)")


@dataclasses.dataclass
class Mutant:
    file: str
    line: int
    before: str
    after: str
    text: str = dataclasses.field(repr=False)  # of the whole file
    result: str = ""
    by: str = ""  # the first test that failed

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.before}  ->  {self.after}"


def blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def code_of(file: str, text: str) -> str:
    """The text with all blank that is to stay as it is."""
    code = HIDDEN.sub(lambda m: blank(m[0]), text)
    if not file.endswith(".h"):
        return code
    out, end = "", 0
    while m := BODY.search(code, end):
        out += blank(code[end:m.end() - 1])
        depth, start, end = 1, m.end() - 1, m.end()
        while depth and end < len(code):
            depth += {"{": 1, "}": -1}.get(code[end], 0)
            end += 1
        out += code[start:end]
    return out + blank(code[end:])


def enumerators(texts: Iterable[str]) -> dict[str, str]:
    """Each "type::name" with the next one of its type; the name alone, too, where "using enum" allows that."""
    found, code = {}, [code_of("", text) for text in texts]
    used = set(re.findall(r"\busing enum (\w+);", "".join(code)))
    for name, body in itertools.chain.from_iterable(map(ENUM.findall, code)):
        names = re.findall(r"(\w+)\s*(?:=[^,]*)?(?:,|$)", body.strip())
        for a, b in zip(names, names[1:] + names[:1]):
            found |= {f"{name}::{a}": f"{name}::{b}"} | ({a: b} if name in used else {})
    return found


def replacements(code: str, others: dict[str, str]) -> Iterator[tuple[int, int, str]]:
    """Each mistake that can be made in `code`: where it starts and ends, and what is written there."""
    for m in re.finditer(r"(?<= )(?!<< 0\b)[=!<>&|+?-]+(?=\s)|\b(?:true|false)\b|(?<!case )\b\w+::\w+\b(?!::)|"
                         r"(?<=[ (])(?<!case )\w+(?=[,;)])", code):
        new = SWAPS.get(m[0]) or others.get(m[0]) or m[0]
        if new != m[0]:
            yield *m.span(), new
    for m in re.finditer(r"\b(?:if|while) ((?!\(const )" + NESTED + ")", code):
        yield *m.span(1), f"(!{m[1]})"
    for m in re.finditer(r"!(?=[\w(])", code):
        yield *m.span(), ""
    for m in re.finditer(r"\bmust\(", code):
        yield m.end(), m.end(), "!"
    for m in NUMBER.finditer(code):
        yield *m.span(1), str(int(m[1].replace("'", ""), 0) + 1)
    for m in STATEMENT.finditer(code):
        ends_function = m[1].startswith("return ") and code.startswith("\n}", m.end())
        if m[1].count("(") == m[1].count(")") and not ends_function:
            yield *m.span(1), ";"


def mutants_of(file: str, text: str, others: dict[str, str]) -> Iterator[Mutant]:
    for start, end, new in sorted(replacements(code_of(file, text), others)):
        first, last = text.rfind("\n", 0, start) + 1, text.find("\n", end)
        before, after = text[first:last], text[first:start] + new + text[end:last]
        yield Mutant(file, text.count("\n", 0, start) + 1, " ".join(before.split()), " ".join(after.split()),
                     text[:start] + new + text[end:])


def all_mutants(model: Path) -> list[Mutant]:
    files = [path for path in sorted(model.rglob("*.*")) if path.suffix in (".cc", ".h")
             and not NOT_THE_MODEL.intersection(path.relative_to(model).parts)]
    texts = {str(path.relative_to(model)): path.read_text() for path in files}
    others = enumerators(texts.values())
    return [mutant for file, text in texts.items() for mutant in mutants_of(file, text, others)]


def suites_about(file: str, tests: Path) -> str:
    """A filter for the tests that bear the file's name, or else for those of its folder."""
    folder = tests / Path(file).parent
    about = [*folder.glob(f"{Path(file).stem}*_test.cc")] or [*folder.glob("*_test.cc")]
    found = re.findall(r"^(?:TEST|RC_GTEST)\w*\((\w+),", "".join(path.read_text() for path in about), re.M)
    return ":".join(f"*{suite}.*" for suite in dict.fromkeys(found))


def lay_out(sources: Path) -> None:
    """The model as a project of its own."""
    shutil.copytree(CHECKOUT / "hw-model", sources / "hw-model")
    shutil.copy(CHECKOUT / "meson_options.txt", sources)
    sources.joinpath("meson.build").write_text(PROJECT)


def configure(root: Path) -> None:
    linker = {"CXX_LD": "lld"} if shutil.which("ld.lld") else {}
    subprocess.run(["meson", "setup", root / "build", root], check=True, capture_output=True, env=os.environ | linker)


class Tree:
    """A copy of the model with its own build directory."""
    killers: dict[str, list[str]] = {}  # of earlier mutants, by file: they run first

    def __init__(self, root: Path, sources: Path, tests: list[str], jobs: int) -> None:
        self.root, self.tests, self.limit = root, tests, 600  # seconds of CPU time for one program
        shutil.copytree(sources, root)
        configure(root)
        self.build(tests, jobs)
        start = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        failed = self.failing("")
        if failed != "":
            sys.exit(f"without any mutant this fails already: {failed or 'the build'}")
        self.limit = 5 + int(3 * (resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - start))

    def build(self, tests: list[str], jobs: int = 0) -> bool:
        # What is compiled from a mutant is never needed again.
        environment = os.environ | ({} if jobs else {"CCACHE_READONLY": "1"})
        targets = [f"hw-model/tests/{test}" for test in tests]
        return subprocess.run(["ninja", f"-j{jobs or 1}", "-C", self.root / "build", *targets], check=False,
                              capture_output=True, env=environment).returncode == 0

    def run(self, test: str, only: str) -> str:
        """The first test that fails, of those that the filter lets through."""
        environment = {"RC_PARAMS": "seed=1 max_success=30", "GTEST_FAIL_FAST": "1", "GTEST_BRIEF": "1",
                       "GTEST_FILTER": only}
        command = ["prlimit", f"--cpu={self.limit}", self.root / "build/hw-model/tests" / test]
        try:  # a deadlock takes no CPU time
            done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace",
                                  env=os.environ | environment, timeout=20 * self.limit)
        except subprocess.TimeoutExpired:
            return f"{test} (time)"
        failed = re.search(r"\[  FAILED  \] ([\w./]+)", done.stdout)
        return "" if done.returncode == 0 else failed[1] if failed else f"{test} (exit {done.returncode})"

    def failing(self, file: str) -> str | None:
        """The first test that fails; empty when all pass, None when something does not compile."""
        likely = self.killers.setdefault(file, [])
        firmware = file.startswith("firmware/")
        first = suites_about(file, self.root / "hw-model/tests") or "none"
        for test in sorted(self.tests, key=lambda t: ("world" in t, t.startswith("firmware") != firmware)):
            if not self.build([test]):
                return None
            failed = ((self.run(test, ":".join(likely)) if likely else "") or self.run(test, f"{first}:-{SLOW}") or
                      self.run(test, f"-{first}:{SLOW}"))
            if failed:
                likely.append(failed)
                return failed
        return ""

    def judge(self, mutant: Mutant) -> None:
        path = self.root / "hw-model" / mutant.file
        original = path.read_text()
        path.write_text(mutant.text)
        try:
            by = self.failing(mutant.file)
            mutant.by = by or ""
            mutant.result = NO if by is None else "killed" if by else "survived"
        finally:
            path.write_text(original)


def judge_all(drawn: list[Mutant], count: int, trees: list[Tree], quiet: bool) -> list[Mutant]:
    """Judges mutants, in parallel, until `count` of them have compiled."""
    judged: list[Mutant] = []
    lock = threading.Lock()

    def work(tree: Tree) -> None:
        while True:
            with lock:
                if len(judged) == len(drawn) or sum(m.result != NO for m in judged) >= count:
                    return
                mutant = drawn[len(judged)]
                judged.append(mutant)
            tree.judge(mutant)
            if not quiet:
                print(f"{mutant.result:16} {mutant}" + (f"  [{mutant.by}]" if mutant.by else ""), flush=True)

    with concurrent.futures.ThreadPoolExecutor(len(trees)) as pool:
        list(pool.map(work, trees))
    return judged


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--number", type=int, default=200, metavar="N", help="mutants to try (default: 200)")
    parser.add_argument("--seed", type=int, default=random.randrange(10 ** 6), help="of the draw (default: any)")
    parser.add_argument("--only", default="", metavar="PATTERN", help="files whose path matches this expression")
    parser.add_argument("--thorough", action="store_true", help="ask the small world about survivors (minutes each)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, hard))  # some mutants are greedy
    tests = ["hw-model-test", "firmware-test"] + (["small-world-test"] if args.thorough else [])
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        sources = Path(scratch, "sources")
        lay_out(sources)
        drawn = [m for m in all_mutants(sources / "hw-model") if re.search(args.only, m.file)]
        if not drawn:
            parser.error(f"no file of the model matches --only {args.only}")
        print(f"{len(drawn)} possible mutants, seed {args.seed}", file=sys.stderr)
        random.Random(args.seed).shuffle(drawn)
        # One tree after the other: what the first compiles, ccache has for the others.
        trees = [Tree(Path(scratch, str(number)), sources, tests, args.jobs) for number in range(args.jobs)]
        judged = judge_all(drawn, args.number, trees, args.json)
    tried = [m for m in judged if m.result != NO]
    killed = sum(m.result == "killed" for m in tried)
    if args.json:
        keep = [f.name for f in dataclasses.fields(Mutant) if f.name != "text"]
        print(json.dumps({"seed": args.seed, "mutants": [{k: getattr(m, k) for k in keep} for m in judged]}, indent=1))
    else:
        print(f"seed {args.seed}: {killed} of {len(tried)} mutants killed; {len(judged) - len(tried)} did not compile")
    return 0 if killed >= WANTED * len(tried) else 1


if __name__ == "__main__":
    sys.exit(main())
