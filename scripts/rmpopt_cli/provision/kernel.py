# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds a kernel from a source, a patch series and a configuration.

The tree is kept for the next kernel, so that after the reference kernel the kernel of variants takes only a minute.
"""
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..base.console import note
from ..base.errors import BadInput, Failure
from ..base.paths import DEBUG_FRAGMENT, KERNEL_FRAGMENT, SERIES, VARIANTS
from ..base.shell import output
from . import linux_source, make, series
from .cache import Cache, sha256_text
from .kernel_tree import Tree
from .linux_source import Source

RECIPE = "1"  # to be changed with the way of building, because it is part of the cache key
KIND = "kernel"
FIXED = {"KBUILD_BUILD_USER": "rmpopt", "KBUILD_BUILD_HOST": "rmpopt", "KBUILD_BUILD_TIMESTAMP": "2026-01-01",
         "KBUILD_BUILD_VERSION": "1"}
HAS_RMPOPT = "has RMPOPT itself"
KEPT = ("arch/x86/boot/bzImage", "System.map", ".config", "vmlinux")


@dataclass
class Recipe:
    """Everything that a kernel is built from."""
    source: Source
    patches: list[series.Patch]
    fragments: list[Path]

    def key(self) -> str:
        _, compiler, _ = output(["cc", "--version"])
        text = sha256_text(RECIPE, self.source.identity, series.digest(self.patches), *self.configuration(),
                           compiler.splitlines()[0] if compiler else "")
        return text[:24]

    def configuration(self) -> list[str]:
        return [path.read_text() for path in self.fragments]


class Build:
    """One kernel build, in a tree that may hold another kernel or an interrupted build."""

    def __init__(self, cache: Cache, recipe: Recipe) -> None:
        self._recipe = recipe
        self._tree = Tree(cache, recipe.source)
        # Another configuration has its own objects, or each change between the two would compile everything.
        other = sha256_text(*recipe.configuration())[:8] if len(recipe.fragments) > 1 else ""
        self._output = self._tree.top / (f"build-{other}" if other else "build")
        self._log = self._tree.top / "log"
        self._environment = {**FIXED, "GIT_CEILING_DIRECTORIES": str(self._tree.top)}

    def run(self, where: Path) -> None:
        self._tree.patch(self._recipe.patches)
        with self._tree.others_removed():
            self._configure()
            self._compile()
        for name in KEPT:
            shutil.copy2(self._output / name, where / Path(name).name.removeprefix("."))

    def _make(self, *words: str) -> list[str]:
        return ["make", "-C", str(self._tree.path), f"O={self._output}", *words]

    def _run(self, words: list[str], step: str) -> None:
        make.must(words, self._log, self._tree.path, step, self._environment)

    def _configure(self) -> None:
        configured = self._output / "configured"
        wanted = sha256_text(*self._recipe.configuration())
        self._log.unlink(missing_ok=True)
        if configured.exists() and configured.read_text() == wanted:
            return
        configured.unlink(missing_ok=True)
        self._output.mkdir(exist_ok=True)
        self._run(self._make("tinyconfig"), "configuration")
        self._run([str(self._tree.path / "scripts/kconfig/merge_config.sh"), "-m", "-O", str(self._output),
                   str(self._output / ".config"), *map(str, self._recipe.fragments)], "configuration")
        self._run(self._make("olddefconfig"), "configuration")
        self._check_options()
        configured.write_text(wanted)

    def _check_options(self) -> None:
        """Reports options that Kconfig dropped; otherwise the user would notice much later."""
        final = options((self._output / ".config").read_text())
        wanted: dict[str, str] = {}
        for path in self._recipe.fragments:
            wanted.update(options(path.read_text()))
        dropped = [name for name, value in wanted.items() if final.get(name, "n") != value]
        if dropped:
            note(f"this kernel does not take {len(dropped)} of the options asked for: {', '.join(dropped)}")

    def _compile(self) -> None:
        make.compile_kernel(["nice", "-n", "5", *self._make(make.JOBS, "bzImage")], self._log, self._tree.path,
                            self._environment)


def options(text: str) -> dict[str, str]:
    """The options of a fragment or a .config. Those that are not set have the value n."""
    found = dict(re.findall(r"^(CONFIG_\w+)=(.*)$", text, re.M))
    for name in re.findall(r"^# (CONFIG_\w+) is not set$", text, re.M):
        found[name] = "n"
    return found


def ensure(cache: Cache, recipe: Recipe) -> Path:
    """Builds the kernel if it is not in the cache, and returns its directory."""
    return cache.ensure(KIND, recipe.key(), Build(cache, recipe).run)


def build(cache: Cache, source: Path | None, patches: Path | None, fragment: Path | None) -> Path:
    """Executes "kernel build". Parts that are not given are taken from the reference kernel."""
    fragments = [KERNEL_FRAGMENT]
    if fragment:
        if not fragment.is_file():
            raise BadInput(f"--config {fragment}: no such file")
        fragments.append(fragment)
    wanted = series.load(patches) if patches else None
    if source:  # not patched with our series, which is for Debian's source only
        return _with_given_source(cache, Recipe(linux_source.given(source), wanted or [], fragments))
    if wanted is not None:
        return _with_debian_source(cache, wanted, fragments)
    return _with_debian_source(cache, series.load(SERIES), fragments, or_as_it_is=True)


def _with_given_source(cache: Cache, recipe: Recipe) -> Path:
    if not recipe.patches:
        note(f"{recipe.source.title} {HAS_RMPOPT}" if recipe.source.has_rmpopt() else
             f"{recipe.source.title} knows no RMPOPT and is built without: --patches {SERIES} would add it")
    try:
        return ensure(cache, recipe)
    except series.DoesNotApply as problem:
        raise BadInput(f"{recipe.source.title}: {problem}: rebase the series or give another --source") from problem


def find_reference(cache: Cache, source: Source) -> Path | None:
    """The reference kernel that was built from a source, if the cache has it."""
    keys = (Recipe(source, patches, [KERNEL_FRAGMENT]).key() for patches in (series.load(SERIES), []))
    return next(filter(None, (cache.find(KIND, key) for key in keys)), None)


def reference(cache: Cache) -> Path:
    """The reference kernel's image."""
    return build(cache, None, None, None) / "bzImage"


def debug(cache: Cache) -> Path:
    """The image of the reference kernel with the kernel's own checks of locks and the like."""
    return build(cache, None, None, DEBUG_FRAGMENT) / "bzImage"


def variants(cache: Cache) -> Path:
    """The image of the reference kernel with the patch that lets it make chosen mistakes."""
    return _with_debian_source(cache, series.load(SERIES) + series.load(VARIANTS), [KERNEL_FRAGMENT]) / "bzImage"


def _with_debian_source(cache: Cache, patches: list[series.Patch], fragments: list[Path],
                        or_as_it_is: bool = False) -> Path:
    """A kernel from the first source that the patches apply to, or else, where that is allowed, that has RMPOPT."""
    refusals = _Refusals(cache, patches)
    for source in linux_source.candidates(cache):
        if source.identity not in refusals.known:
            try:
                return ensure(cache, Recipe(source, patches, fragments))
            except series.DoesNotApply as problem:
                reason = f" {HAS_RMPOPT}, and" if source.has_rmpopt() else ":"
                refusals.add(source.identity, f"{source.title}{reason} {problem}")
                note(refusals.known[source.identity])
        if or_as_it_is and HAS_RMPOPT in refusals.known[source.identity]:
            return ensure(cache, Recipe(source, [], fragments))
    reasons = "; ".join(refusals.known.values()) or "the archive has none"
    raise Failure(f"no linux-source that the series applies to ({reasons}): "
                  "rebase the series or give a tree with --source")


class _Refusals:
    """Remembers the sources that a series does not apply to, so that they are not tried again each time."""

    def __init__(self, cache: Cache, patches: list[series.Patch]) -> None:
        self._path = cache.directory("refused") / f"{series.digest(patches)[:24]}.json"
        try:
            self.known: dict[str, str] = json.loads(self._path.read_text())
        except (OSError, ValueError):
            self.known = {}

    def add(self, identity: str, reason: str) -> None:
        self.known[identity] = reason
        self._path.write_text(json.dumps(self.known))
