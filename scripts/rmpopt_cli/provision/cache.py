# SPDX-License-Identifier: GPL-2.0-or-later
"""The cache: entries that are made once and kept outside the checkout.

An entry is a directory kind/key with a manifest of its files. It is made under a
temporary name and then renamed, so that an interrupted set-up leaves no incomplete
entry. One that is damaged later does not match its manifest and is made again.
"""
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from ..base import lock
from ..base.console import note
from ..base.errors import Failure
from ..base.paths import cache_root

MANIFEST = "manifest.json"
LEAST_FREE = 512 << 20  # what the first boot downloads


def sha256_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_text(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _entry_files(entry: Path) -> list[Path]:
    found = []
    for directory, _, names in os.walk(entry):
        found += [Path(directory, name) for name in names]
    return sorted(path for path in found if path != entry / MANIFEST)


def _describe(path: Path) -> dict[str, object]:
    if path.is_symlink():
        return {"link": os.readlink(path)}
    info = path.stat()
    return {"size": info.st_size, "mtime": info.st_mtime_ns, "sha256": sha256_file(path)}


def write_manifest(entry: Path, key: str) -> None:
    files = {str(path.relative_to(entry)): _describe(path) for path in _entry_files(entry)}
    (entry / MANIFEST).write_text(json.dumps({"key": key, "files": files}))


def _file_matches(path: Path, known: dict[str, object], deep: bool) -> bool:
    if "link" in known:
        return path.is_symlink() and os.readlink(path) == known["link"]
    if path.is_symlink() or not path.is_file():
        return False
    info = path.stat()
    if info.st_size != known["size"]:
        return False
    if not deep and info.st_mtime_ns == known["mtime"]:
        return True
    return sha256_file(path) == known["sha256"]


def damage(entry: Path, deep: bool = False) -> str | None:
    """Describes the damage of an entry; None if it is intact. The quick check trusts a file
    whose size and time stamp have not changed; the deep one reads every file."""
    try:
        manifest = json.loads((entry / MANIFEST).read_text())
        files = manifest["files"]
        if manifest["key"] != entry.name:
            return "its manifest belongs to another entry"
        for name, known in files.items():
            if not _file_matches(entry / name, known, deep):
                return f"{name} is missing or was changed"
    except (OSError, ValueError, KeyError, TypeError):
        return "its manifest is missing or unreadable"
    return None


class Cache:
    def __init__(self, root: Path | None = None) -> None:
        self.root = root or cache_root()

    def prepare(self) -> None:
        """Makes the cache directory and checks that it is writable and has room for a boot."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe.{os.getpid()}"
            probe.write_text("")
            probe.unlink(missing_ok=True)  # another thread may have been quicker
        except OSError as problem:
            raise Failure(f"cache directory {self.root} is not writable ({problem.strerror}): "
                          "make it writable or set RMPOPT_CACHE to another place") from problem
        self.require(LEAST_FREE, "a boot")

    def require(self, size: int, what: str) -> None:
        """Refuses to start what would fill the disk. Some programs that we call would then wait for ever."""
        free = shutil.disk_usage(self.root).free
        if free < size:
            raise Failure(f"cache directory {self.root} has {free >> 20} MiB left, and {what} needs {size >> 20}: "
                          "make room there or set RMPOPT_CACHE to another place")

    def directory(self, name: str) -> Path:
        """Returns a working directory, which has no manifest. Makes it if necessary."""
        self.prepare()
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def lock(self, name: str) -> AbstractContextManager[None]:
        """The lock to hold while making something in this cache. May be nested."""
        return lock.held(self.directory("locks") / name, f"{name} in {self.root}")

    def find(self, kind: str, key: str, deep: bool = False) -> Path | None:
        entry = self.root / kind / key
        return entry if entry.is_dir() and damage(entry, deep) is None else None

    def newest(self, kind: str, suits: Callable[[str], bool] = lambda key: True) -> Path | None:
        """The newest intact entry of a kind whose key suits."""
        directory = self.root / kind
        if not directory.is_dir():
            return None
        entries = sorted((p for p in directory.iterdir() if p.is_dir() and suits(p.name)),
                         key=lambda p: p.stat().st_mtime, reverse=True)
        return next((p for p in entries if damage(p) is None), None)

    def entries(self) -> list[Path]:
        """All finished entries, which are the directories kind/key with a manifest."""
        return sorted(path.parent for path in self.root.glob(f"*/*/{MANIFEST}"))

    def damaged(self) -> list[tuple[Path, str]]:
        """The entries whose content fails the deep check, with the reason."""
        found = ((entry, damage(entry, deep=True)) for entry in self.entries())
        return [(entry, reason) for entry, reason in found if reason]

    def drop_damaged(self) -> None:
        """Removes damaged entries, so that they are made again when needed."""
        for entry, reason in self.damaged():
            with self.lock(entry.parent.name):
                note(f"cache entry {entry.parent.name}/{entry.name} is damaged ({reason}): making it again")
                shutil.rmtree(entry)

    def ensure(self, kind: str, key: str, make: Callable[[Path], None], deep: bool = False) -> Path:
        """Returns the entry. If it is missing or damaged, make(directory) makes it first."""
        found = self.find(kind, key, deep)
        if found:
            return found
        with self.lock(kind):
            return self.find(kind, key, deep) or self._make(kind, key, make)

    def _make(self, kind: str, key: str, make: Callable[[Path], None]) -> Path:
        entry = self.root / kind / key
        if entry.exists():
            note(f"cache entry {kind}/{key} is damaged ({damage(entry, True)}): making it again")
            shutil.rmtree(entry)
        partial = self.root / "partial" / kind
        shutil.rmtree(partial, ignore_errors=True)  # left by an interrupted set-up; we hold the lock
        fresh = partial / key
        fresh.mkdir(parents=True)
        make(fresh)
        write_manifest(fresh, key)
        entry.parent.mkdir(parents=True, exist_ok=True)
        fresh.rename(entry)
        return entry
