# SPDX-License-Identifier: GPL-2.0-or-later
"""Building a kernel from a source, a patch series and a configuration.

The kernel of variants is the reference kernel with patches on top. When both are missing, the second is built in
the tree of the first, which takes a minute instead of many.
"""
import json
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from ..base.console import Progress, note
from ..base.errors import BadInput, Failure
from ..base.paths import KERNEL_FRAGMENT, SERIES, VARIANTS
from ..base.shell import last_line, logged, output
from . import linux_source, series
from .cache import Cache, sha256_text
from .linux_source import Source

RECIPE = "1"  # raise when the way of building changes
KIND = "kernel"
FIXED = {"KBUILD_BUILD_USER": "rmpopt", "KBUILD_BUILD_HOST": "rmpopt", "KBUILD_BUILD_TIMESTAMP": "2026-01-01",
         "KBUILD_BUILD_VERSION": "1"}
KEPT = ("arch/x86/boot/bzImage", "System.map", ".config", "vmlinux")


class DoesNotApply(Failure):
    """The series does not fit this source; another one may."""


@dataclass
class Recipe:
    """What a kernel is made of."""
    source: Source
    patches: list[series.Patch]
    fragments: list[Path]
    further: list[series.Patch] = field(default_factory=list)  # on top of patches

    def base(self) -> "Recipe":
        """The kernel that the further patches go on."""
        return Recipe(self.source, self.patches, self.fragments)

    def key(self) -> str:
        _, compiler, _ = output(["cc", "--version"])
        configuration = [path.read_text() for path in self.fragments]
        text = sha256_text(RECIPE, self.source.identity, series.digest(self.patches + self.further), *configuration,
                           compiler.splitlines()[0] if compiler else "")
        return text[:24]


class Build:
    """One kernel build; what was done is remembered, so that an interrupted one goes on."""

    def __init__(self, cache: Cache, recipe: Recipe, keep_tree: bool = False) -> None:
        self._recipe, self._keep_tree = recipe, keep_tree
        self._top = cache.directory("work") / f"kernel-{recipe.base().key()}"
        self._tree, self._output = self._top / "linux", self._top / "build"
        self._log = self._top / "log"
        self._applied = self._top / "applied"  # key of the recipe whose patches are in the tree
        self._environment = {**FIXED, "GIT_CEILING_DIRECTORIES": str(self._top)}

    def run(self, where: Path) -> None:
        self.prepare_tree()
        self._configure()
        self._compile()
        for name in KEPT:
            shutil.copy2(self._output / name, where / Path(name).name.removeprefix("."))
        if not self._keep_tree:
            self.drop_tree()

    def drop_tree(self) -> None:
        shutil.rmtree(self._top, ignore_errors=True)

    def prepare_tree(self) -> None:
        """Unpacked and patched; done again from the start when interrupted half-way."""
        applied = self._applied.read_text() if self._applied.exists() else ""
        if applied == self._recipe.key():
            note("going on with an interrupted build")
        elif applied == self._recipe.base().key():
            self._patch(self._recipe.further)
        else:
            self._unpack()
            self._patch(self._recipe.patches + self._recipe.further)

    def _unpack(self) -> None:
        for abandoned in self._top.parent.glob("kernel-*"):  # a tree takes gigabytes
            shutil.rmtree(abandoned, ignore_errors=True)
        self._recipe.source.unpack(self._tree)

    def _patch(self, patches: list[series.Patch]) -> None:
        self._applied.unlink(missing_ok=True)
        try:
            series.apply(patches, self._tree)
        except Failure as problem:
            self.drop_tree()
            raise DoesNotApply(f"{self._recipe.source.title}: {problem}") from problem
        if patches:
            note(f"{len(patches)} patches applied")
        self._applied.write_text(self._recipe.key())

    def _make(self, *words: str) -> list[str]:
        return ["make", "-C", str(self._tree), f"O={self._output}", *words]

    def _run(self, words: list[str], step: str) -> None:
        if logged(words, self._log, cwd=self._tree, extra_env=self._environment) != 0:
            raise Failure(f"kernel {step}: {self._problem()} (log: {self._log})")

    def _problem(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        errors = (line for line in lines if re.search(r"\berror:|Error \d|\*\*\*", line))
        return next(errors, last_line("\n".join(lines))).replace(f"{self._tree}/", "")

    def _configure(self) -> None:
        if (self._output / "configured").exists():
            return
        self._log.unlink(missing_ok=True)
        self._output.mkdir(exist_ok=True)
        self._run(self._make("tinyconfig"), "configuration")
        self._run([str(self._tree / "scripts/kconfig/merge_config.sh"), "-m", "-O", str(self._output),
                   str(self._output / ".config"), *map(str, self._recipe.fragments)], "configuration")
        self._run(self._make("olddefconfig"), "configuration")
        self._check_options()
        (self._output / "configured").touch()

    def _check_options(self) -> None:
        """An option that Kconfig dropped would be missed much later."""
        final = options((self._output / ".config").read_text())
        wanted: dict[str, str] = {}
        for path in self._recipe.fragments:
            wanted.update(options(path.read_text()))
        dropped = [name for name, value in wanted.items() if final.get(name, "n") != value]
        if dropped:
            note(f"this kernel does not take {len(dropped)} of the options asked for: {', '.join(dropped)}")

    def _compile(self) -> None:
        jobs = len(os.sched_getaffinity(0))
        progress = Progress("building the kernel")
        count = 0

        def show(line: str) -> None:
            nonlocal count
            step = re.match(r"\s+(CC|AS|LD|AR|HOSTCC)\s+(?:\[M\] )?(\S+)", line)
            if step:
                count += 1
                progress.update(f"{count} objects, {step.group(2).rpartition('/build/')[2]}")

        words = ["nice", "-n", "5", *self._make(f"-j{jobs}", "bzImage")]
        if logged(words, self._log, show, cwd=self._tree, extra_env=self._environment) != 0:
            raise Failure(f"kernel build: {self._problem()} (log: {self._log})")
        progress.done(f"{count} objects")


def options(text: str) -> dict[str, str]:
    """CONFIG lines of a fragment or a .config; switched-off ones count as n."""
    found = dict(re.findall(r"^(CONFIG_\w+)=(.*)$", text, re.M))
    for name in re.findall(r"^# (CONFIG_\w+) is not set$", text, re.M):
        found[name] = "n"
    return found


def ensure(cache: Cache, recipe: Recipe, keep_tree: bool = False) -> Path:
    """Directory with the built kernel."""
    return cache.ensure(KIND, recipe.key(), Build(cache, recipe, keep_tree).run)


def build(cache: Cache, source: Path | None, patches: Path | None, fragment: Path | None) -> Path:
    """What "kernel build" does; parts that are not given are the reference kernel's."""
    fragments = [KERNEL_FRAGMENT]
    if fragment:
        if not fragment.is_file():
            raise BadInput(f"--config {fragment}: no such file")
        fragments.append(fragment)
    wanted = series.load(patches) if patches else None
    if source:  # taken as it is: our series is for Debian's source only
        return _with_given_source(cache, Recipe(linux_source.given(source), wanted or [], fragments))
    return _with_debian_source(cache, wanted if wanted is not None else series.load(SERIES), [], fragments)


def _with_given_source(cache: Cache, recipe: Recipe) -> Path:
    try:
        return ensure(cache, recipe)
    except DoesNotApply as problem:
        raise BadInput(f"{problem}: rebase the series or give another --source") from problem


def find_reference(cache: Cache, source: Source) -> Path | None:
    """The reference kernel built from a source, if it is there."""
    return cache.find(KIND, Recipe(source, series.load(SERIES), [KERNEL_FRAGMENT]).key())


def reference(cache: Cache) -> Path:
    """The reference kernel's image."""
    return build(cache, None, None, None) / "bzImage"


def variants(cache: Cache) -> Path:
    """Image of the reference kernel that can be asked to make mistakes."""
    base, further = series.load(SERIES), series.load(VARIANTS)
    return _with_debian_source(cache, base, further, [KERNEL_FRAGMENT]) / "bzImage"


def _with_debian_source(cache: Cache, patches: list[series.Patch], further: list[series.Patch],
                        fragments: list[Path]) -> Path:
    refusals = _Refusals(cache, patches + further)
    for source in linux_source.candidates(cache):
        if source.identity in refusals.known:
            continue
        try:
            return with_base(cache, Recipe(source, patches, fragments, further))
        except DoesNotApply as problem:  # the next source may fit
            refusals.add(source.identity, str(problem))
            note(str(problem))
    reasons = "; ".join(refusals.known.values()) or "the archive has none"
    raise Failure(f"no linux-source that the series applies to ({reasons}): "
                  "rebase the series or give a tree with --source")


def with_base(cache: Cache, recipe: Recipe) -> Path:
    """Builds the base first if both are missing."""
    if recipe.further and not cache.find(KIND, recipe.key()) and not cache.find(KIND, recipe.base().key()):
        ensure(cache, recipe.base(), keep_tree=True)
    return ensure(cache, recipe)


class _Refusals:
    """Sources that a series is known not to fit, so that they are not tried every time."""

    def __init__(self, cache: Cache, patches: list[series.Patch]) -> None:
        self._path = cache.directory("refused") / f"{series.digest(patches)[:24]}.json"
        try:
            self.known: dict[str, str] = json.loads(self._path.read_text())
        except (OSError, ValueError):
            self.known = {}

    def add(self, identity: str, reason: str) -> None:
        self.known[identity] = reason
        self._path.write_text(json.dumps(self.known))
