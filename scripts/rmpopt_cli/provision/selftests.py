# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds KVM selftests of the kernel's own tree, statically linked, for the guest's initramfs."""
import os
import shutil
from pathlib import Path

from ..base.console import Progress
from ..base.errors import Failure
from ..base.shell import last_line, logged, output
from . import kernel, linux_source
from .cache import Cache, sha256_text
from .linux_source import Source

RECIPE = "1"  # to be changed with the way of building, because it is part of the cache key
KIND = "selftests"
TESTS = ("x86/sev_init2_tests", "x86/sev_smoke_test")


class Build:
    """One build of TESTS from a source. The unpacked tree is removed afterwards."""

    def __init__(self, cache: Cache, source: Source) -> None:
        self._source = source
        self._top = cache.directory("work") / KIND
        self._log = cache.directory("log") / KIND

    def run(self, where: Path) -> None:
        shutil.rmtree(self._top, ignore_errors=True)
        self._log.unlink(missing_ok=True)
        tree, built = self._top / "linux", self._top / "build"
        self._source.unpack(tree)
        progress = Progress("building the kernel's selftests")
        self._make("-C", tree, f"O={built}", "headers")
        self._make("-C", tree / "tools/testing/selftests/kvm", "ARCH=x86", f"OUTPUT={built}",
                   f"KHDR_INCLUDES=-isystem {built}/usr/include", "LDFLAGS=-static -pthread -no-pie",
                   *(built / name for name in TESTS))
        for name in TESTS:
            shutil.copy2(built / name, where / Path(name).name)
        progress.done()
        shutil.rmtree(self._top)

    def _make(self, *words: str | Path) -> None:
        jobs = len(os.sched_getaffinity(0))
        if logged(["nice", "-n", "5", "make", f"-j{jobs}", *words], self._log) != 0:
            raise Failure(f"selftests: {last_line(self._log.read_text(errors='replace'))} (log: {self._log})")


def _key(source: Source) -> str:
    _, compiler, _ = output(["cc", "--version"])
    return sha256_text(RECIPE, source.identity, *TESTS, compiler.splitlines()[0] if compiler else "")[:24]


def _source(cache: Cache) -> Source:
    """The source of the reference kernel, or another one if that kernel is not built."""
    for source in linux_source.cached(cache):
        if kernel.find_reference(cache, source):
            return source
    return next(linux_source.candidates(cache))


def ensure(cache: Cache) -> Path:
    """The directory with the built tests."""
    source = _source(cache)
    return cache.ensure(KIND, _key(source), Build(cache, source).run)
