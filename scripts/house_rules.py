#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks the rules of the house: which folder may include which.

Layers are folders. ALLOWED says for each folder what it may use beside itself; since the table has no circle, the
folders have none. What is named in no list of another folder is wiring, which may use everything. `scripts/rmpopt test`
runs this check; by itself it prints one line for each include that breaks a rule.
"""
import ast
import graphlib
import posixpath
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
CLI = "scripts/rmpopt_cli"

BASE = ("hw-model/base",)
RMP = ("hw-model/rmp", *BASE)
MACHINE = ("hw-model/machine", *RMP)
MODEL = ("hw-model/insn", "hw-model/access", *MACHINE)
GUEST = ("hw-model/guest", *MODEL)
FIRMWARE = ("hw-model/firmware", "hw-model/firmware/common", *MODEL)
ENFORCE = ("plugin/enforce", "plugin/events", "plugin/instrument", "plugin/measure", "plugin/qemu", "plugin/x86",
           "plugin/base")
CLI_GUEST = (f"{CLI}/guest", f"{CLI}/provision", f"{CLI}/reporting", f"{CLI}/base")

ALLOWED: dict[str, tuple[str, ...]] = {
    # The model knows neither QEMU nor the plugin.
    "hw-model/base": (),
    "hw-model/pch": (),
    "hw-model/rmp": BASE,
    "hw-model/machine": RMP,
    "hw-model/access": MACHINE,
    "hw-model/insn": ("hw-model/access", *MACHINE),
    "hw-model/guest": MODEL,
    "hw-model/firmware/common": MODEL,
    "hw-model/firmware/snp": ("hw-model/firmware/common", *MODEL),
    "hw-model/firmware/sev": ("hw-model/firmware/common", *MODEL),
    "hw-model/firmware": ("hw-model/firmware/snp", "hw-model/firmware/sev", "hw-model/firmware/common", *MODEL),
    # What is close to the machine knows no SNP.
    "plugin/base": (),
    "plugin/pch": (),
    "plugin/x86": ("plugin/base", *BASE),
    "plugin/qemu": ("plugin/x86", "plugin/base", *BASE),
    # What happens, for those who make it happen and those who hear it.
    "plugin/events": FIRMWARE,
    # Observers know neither QEMU nor enforcement; instrument puts measure into QEMU's code.
    "plugin/measure": ("plugin/base", *MODEL),
    "plugin/watch": ("plugin/events", "plugin/base", *FIRMWARE),
    "plugin/perturb": ("plugin/base",),
    "plugin/report": ("plugin/watch", "plugin/perturb", "plugin/measure", "plugin/base", *FIRMWARE),
    "plugin/control": ("plugin/report", "plugin/measure", "plugin/base", *FIRMWARE),
    "plugin/instrument": ("plugin/measure", "plugin/qemu", "plugin/x86", "plugin/base", *MODEL),
    "plugin/platform": ("plugin/qemu", "plugin/x86", "plugin/base", *FIRMWARE),
    "plugin/enforce": (*ENFORCE[1:], *MODEL),
    "plugin/sev": (*ENFORCE, *GUEST),
    "plugin/insn": ("plugin/perturb", "plugin/sev", *ENFORCE, *GUEST),

    f"{CLI}/base": (),
    f"{CLI}/provision": (f"{CLI}/base",),
    f"{CLI}/reporting": (f"{CLI}/base",),
    f"{CLI}/guest": CLI_GUEST[1:],
    f"{CLI}/scenarios": CLI_GUEST,
    f"{CLI}/experiments": (f"{CLI}/snp_guest", *CLI_GUEST),
    f"{CLI}/explore": (f"{CLI}/scenarios", *CLI_GUEST),
    f"{CLI}/snp_guest": CLI_GUEST,
    f"{CLI}/commands": (f"{CLI}/snp_guest", f"{CLI}/explore", f"{CLI}/experiments", f"{CLI}/scenarios", *CLI_GUEST),
}

WIRING = ("plugin", CLI)  # files directly in them
OUTSIDE = {"tests", "fuzz", "benchmarks", "tools", "sanitizers"}  # folders that may use everything
QEMU_HEADERS = re.compile(r"qemu|glib")  # named only in plugin/qemu
CONTEXT = "the_emulation"  # named in the wiring only

INCLUDE = re.compile(r'\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')


@dataclass(frozen=True)
class Breach:
    file: str
    line: int
    why: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.why}"


def folder_of(file: str) -> str | None:
    """The folder whose rules a file keeps: "" for wiring, None for a folder that has no rules."""
    folder = file.rpartition("/")[0]
    if folder in WIRING:
        return ""
    return next((name for name in sorted(ALLOWED, key=len, reverse=True) if f"{folder}/".startswith(f"{name}/")), None)


def sources(top: Path) -> Iterator[str]:
    for part, endings in (("hw-model", (".cc", ".h")), ("plugin", (".cc", ".h")), (CLI, (".py",))):
        for path in sorted((top / part).rglob("*")):
            name = path.relative_to(top).as_posix()
            if path.suffix in endings and not OUTSIDE & set(name.split("/")):
                yield name


def cpp_includes(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        found = INCLUDE.match(line)
        if found:
            yield number, found[1] or f"<{found[2]}>"


def cpp_target(file: str, name: str, files: frozenset[str]) -> str | None:
    """The file of ours that an include means."""
    folder = file.rpartition("/")[0]
    for start in (f"{folder}/", "plugin/", "hw-model/", ""):
        path = posixpath.normpath(start + name)
        if path in files:
            return path
    return None


def python_imports(file: str, text: str, files: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Lines and files of ours that a module imports."""
    package = file.split("/")[1:-1]
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ImportFrom):
            continue
        base = package[:len(package) - node.level + 1] if node.level else []
        path = "/".join(["scripts", *base, *(node.module or "").split(".")]).rstrip("/")
        for alias in node.names:
            for candidate in (f"{path}/{alias.name}.py", f"{path}/{alias.name}/__init__.py", f"{path}.py",
                              f"{path}/__init__.py"):
                if candidate in files:
                    yield node.lineno, candidate
                    break


def includes(file: str, text: str, files: frozenset[str]) -> Iterator[tuple[int, str]]:
    if file.endswith(".py"):
        yield from python_imports(file, text, files)
        return
    for number, name in cpp_includes(text):
        yield number, cpp_target(file, name, files) or name


def breaches_of(file: str, text: str, files: frozenset[str]) -> Iterator[Breach]:
    folder = folder_of(file)
    if folder is None:
        yield Breach(file, 1, "its folder has no row in the table of scripts/house_rules.py")
    if not folder:
        return
    for number, target in includes(file, text, files):
        there = folder_of(target)
        ours = target in files
        if (ours and there != folder and there not in ALLOWED[folder]) or \
                (not ours and folder != "plugin/qemu" and QEMU_HEADERS.search(target)):
            yield Breach(file, number, f"{folder} may not include {target}")
    named = re.search(rf"\b{CONTEXT}\b", text)
    if named:
        yield Breach(file, text.count("\n", 0, named.start()) + 1, f"only the wiring may name {CONTEXT}")


def circle() -> str:
    """A circle in the table itself, "" when there is none."""
    try:
        graphlib.TopologicalSorter(ALLOWED).prepare()
    except graphlib.CycleError as problem:
        return " -> ".join(problem.args[1])
    return ""


def problems(top: Path) -> list[str]:
    files = frozenset(sources(top))
    return [*([f"the table has a circle: {circle()}"] if circle() else []),
            *(str(breach) for file in sorted(files) for breach in breaches_of(file, (top / file).read_text(), files))]


def main() -> int:
    found = problems(CHECKOUT)
    print("\n".join(found) if found else "all folders keep their rules")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
