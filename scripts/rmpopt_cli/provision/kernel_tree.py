# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps a kernel tree after the build, so that the next kernel of the same source compiles only what differs.

Patches are applied to copies of the few files that they touch. If one does not apply, that is found within seconds and
the tree is unchanged. A file that is the same with both series keeps its time stamp, so make does not compile it again.
"""
import filecmp
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..base.console import note
from ..base.shell import started
from . import series
from .cache import Cache, sha256_text
from .linux_source import Source


class Tree:
    """The unpacked source with the patches of the last kernel built. The caller must hold the lock for kernels."""

    def __init__(self, cache: Cache, source: Source) -> None:
        self._source = source
        self._work = cache.directory("work")
        self.top = self._work / f"kernel-{sha256_text(source.identity)[:24]}"
        self.path = self.top / "linux"
        self._complete = self.top / "unpacked"  # missing when unpacking or removing was interrupted
        self._patched = self.top / "patched"  # series.touched() of the patches that may be in the tree

    def patch(self, patches: list[series.Patch]) -> None:
        """Turns the tree into the source with these patches. If they do not fit, leaves the tree as it is and raises
        series.DoesNotApply."""
        touched = series.touched(patches)
        earlier = self._touched_earlier()
        names = {**earlier, **touched}
        with tempfile.TemporaryDirectory(dir=self._work, prefix="patching-") as scratch:
            wanted = Path(scratch)
            self._source.pick([name for name, in_source in names.items() if in_source], wanted)
            series.apply(patches, wanted)
            self._unpack()
            for name, in_source in touched.items():
                if not in_source and earlier.get(name, True) and (self.path / name).exists():
                    raise series.DoesNotApply(f"{name}, which a patch creates, is there already")
            self._patched.write_text(json.dumps(names))
            for name in names:
                _install(wanted / name, self.path / name)
        self._patched.write_text(json.dumps(touched))
        if patches:
            note(f"{len(patches)} patches applied")

    def _touched_earlier(self) -> dict[str, bool]:
        try:
            return dict(json.loads(self._patched.read_text()))
        except (OSError, ValueError):  # missing, or incomplete because writing it was interrupted
            self._complete.unlink(missing_ok=True)
            return {}

    def _unpack(self) -> None:
        if self._complete.exists():
            return
        shutil.rmtree(self.top, ignore_errors=True)
        self.top.mkdir(parents=True)
        self._source.unpack(self.path)
        self._complete.touch()

    @contextmanager
    def others_removed(self) -> Iterator[None]:
        """Removes the trees of other sources in the background, because that takes minutes on a busy disk."""
        others = [path for path in self._work.glob("kernel-*") if path != self.top]
        for path in others:
            (path / self._complete.name).unlink(missing_ok=True)
        with started(["rm", "-rf", "--", *others], stderr=subprocess.DEVNULL) as remover:
            yield
            remover.wait()


def _install(wanted: Path, where: Path) -> None:
    """Updates or removes a file. One that is already right keeps its time stamp."""
    if not wanted.exists():
        where.unlink(missing_ok=True)
    elif not where.exists() or not filecmp.cmp(wanted, where, shallow=False):
        where.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(wanted, where)
