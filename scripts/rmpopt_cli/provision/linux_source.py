# SPDX-License-Identifier: GPL-2.0-or-later
"""Provides kernel sources: Debian's linux-source packages, or the user's own tree or tarball."""
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..base.console import Progress, note
from ..base.errors import BadInput, Failure
from ..base.shell import environment, last_line, output
from .archive import BINARY_SUITES, Archive, sort_versions, unpack_deb
from .cache import Cache, sha256_file

KIND = "linux-source"
OLDEST = (7, 3)
DEBIAN = "debian "  # begins the identity of a Debian source
FEATURES, RMPOPT = "arch/x86/include/asm/cpufeatures.h", "X86_FEATURE_RMPOPT"
FAST_XZ = {"XZ_DEFAULTS": "--threads=0"}  # Debian's tarballs can be unpacked by several threads


@dataclass(frozen=True)
class Source:
    """Something that can be unpacked into a kernel tree."""
    path: Path
    identity: str  # changes when the content does
    title: str

    def version(self) -> tuple[int, ...]:
        """The version of Linux without the stable update, from the file name of a Debian source."""
        return _version_of(self.path.name)

    def unpack(self, where: Path) -> None:
        progress = Progress(f"unpacking {self.title}")
        where.mkdir(parents=True)
        if self.path.is_dir():
            _copy_tree(self.path, where)
        else:
            _unpack_tarball(self.path, where)
        if not (where / "Kconfig").is_file() or not (where / "Makefile").is_file():
            raise Failure(f"{self.path} holds no kernel source (no Kconfig at its top): give another --source")
        progress.done()

    def pick(self, names: list[str], where: Path) -> None:
        """Copies those of the named files that the source has. That takes seconds, unpacking takes minutes."""
        if self.path.is_dir():
            for name in names:
                if (self.path / name).is_file():
                    (where / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(self.path / name, where / name)
        elif names:
            _pick_from_tarball(self.path, names, where)

    def has_rmpopt(self) -> bool:
        """True when this Linux knows RMPOPT without our series, as 7.4 does."""
        with tempfile.TemporaryDirectory() as scratch:
            self.pick([FEATURES], Path(scratch))
            header = Path(scratch) / FEATURES
            return header.is_file() and RMPOPT in header.read_text(errors="replace")


def _pick_from_tarball(tarball: Path, names: list[str], where: Path) -> None:
    with subprocess.Popen(["tar", "-tf", str(tarball)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          env=environment(FAST_XZ)) as listing:
        assert listing.stdout is not None
        top = listing.stdout.readline().partition("/")[0]
        listing.terminate()
    # With --occurrence, tar stops after the last of the files. It complains about files that the patches create.
    subprocess.run(["tar", "-C", str(where), "--strip-components=1", "--occurrence=1", "-xf", str(tarball), "--",
                    *(f"{top}/{name}" for name in names)], stderr=subprocess.DEVNULL, env=environment(FAST_XZ))


def _copy_tree(tree: Path, where: Path) -> None:
    """Copies only sources, because the build must start from a clean tree and must not change the user's."""
    words = ["tar", "-C", str(tree), "-cf", "-", "--exclude=./.git", "."]
    if (tree / ".git").exists():
        words = ["tar", "-C", str(tree), "--null", "-T", "-", "--ignore-failed-read", "-cf", "-"]
    reader = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert reader.stdin is not None
    writer = subprocess.Popen(["tar", "-C", str(where), "-xf", "-"], stdin=reader.stdout)
    if "-T" in words:
        reader.stdin.write(_git(tree, "ls-files", "-z", "--cached", "--others", "--exclude-standard"))
    reader.stdin.close()
    if writer.wait() != 0 or reader.wait() not in (0, 1):
        raise Failure(f"copying {tree} failed: check the space in the cache directory")
    if (where / ".config").exists() or (where / "include/config").exists():
        output(["make", "-C", where, "mrproper"], timeout=600)


def _unpack_tarball(tarball: Path, where: Path) -> None:
    words = ["tar", "-C", where, "--strip-components=1", "-xf", tarball]
    status, _, problem = output(words, timeout=3600, extra_env=FAST_XZ)
    if status != 0:
        raise Failure(f"{tarball.name} can't be unpacked ({last_line(problem)}): check the file and the free space")


def _git(tree: Path, *words: str) -> bytes:
    done = subprocess.run(["git", "-C", str(tree), *words], capture_output=True, env=environment())
    if done.returncode != 0:
        raise Failure(f"git {words[0]} in {tree}: {last_line(done.stderr.decode(errors='replace'))}")
    return done.stdout


def given(path: Path) -> Source:
    """The source that the user gave with --source."""
    if path.is_file():
        return Source(path, "tarball " + sha256_file(path), path.name)
    if not (path / "Kconfig").is_file():
        raise BadInput(f"--source {path} is not a kernel source: give the top of a tree or a tarball")
    return Source(path, "tree " + _tree_digest(path), str(path))


def _tree_digest(tree: Path) -> str:
    """A digest of the tree: of its content if git manages it, otherwise of the files' sizes and time stamps."""
    digest = hashlib.sha256()
    names: Iterator[str]
    if (tree / ".git").exists():
        digest.update(_git(tree, "rev-parse", "HEAD"))
        digest.update(_git(tree, "diff", "HEAD", "--binary"))
        untracked = _git(tree, "ls-files", "-z", "--others", "--exclude-standard")
        names = (os.fsdecode(name) for name in untracked.split(b"\0") if name)
    else:
        names = (os.path.relpath(os.path.join(top, name), tree)
                 for top, _, files in os.walk(tree) for name in files)
    for name in sorted(names):
        info = os.lstat(tree / name)
        digest.update(f"{name}\0{info.st_size}\0{info.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _version_of(package: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", package)[:2])


def _fetch(archive: Archive, package: str, version: str, cache: Cache) -> Source:
    def make(where: Path) -> None:
        unpack_deb(archive.fetch(package, f"downloading {package} {version}"), where / "unpacked")
        tarball = next((where / "unpacked").glob("usr/src/linux-source-*.tar.*"))
        tarball.rename(where / tarball.name)
        shutil.rmtree(where / "unpacked")

    return _entry_source(cache.ensure(KIND, version, make))


def _entry_source(entry: Path) -> Source:
    tarball = next(entry.glob("linux-source-*"))
    return Source(tarball, DEBIAN + entry.name, f"Linux {entry.name} (Debian)")


def cached(cache: Cache) -> list[Source]:
    """The Debian sources in the cache, newest first."""
    directory = cache.root / KIND
    names = {p.name for p in directory.iterdir() if p.is_dir()} if directory.is_dir() else set()
    found = [cache.find(KIND, name) for name in sort_versions(names)]
    return [_entry_source(entry) for entry in found if entry]


def candidates(cache: Cache) -> Iterator[Source]:
    """Debian sources: first those in the cache, then those of each suite, newest first. They are fetched when needed.

    Only one is fetched of each version of Linux, such as 7.3: a series that does not fit it fits no stable update."""
    seen = set()
    for source in cached(cache):
        seen.add(source.version())
        yield source
    for archive, package, version in _offered(cache):
        if _version_of(package) not in seen:
            seen.add(_version_of(package))
            yield _fetch(archive, package, version, cache)


def refresh(cache: Cache) -> None:
    """Fetches the newest source of the first suite that has one, unless the cache has it or a newer one."""
    try:
        archive, package, version = next(_offered(cache))
        held = {entry.identity for entry in cached(cache)}
        if sort_versions({version, *(name.removeprefix(DEBIAN) for name in held)})[0] == version:
            _fetch(archive, package, version, cache)
    except StopIteration:
        return
    except Failure as problem:
        note(f"looking for a newer linux-source: {problem}")


def _offered(cache: Cache) -> Iterator[tuple[Archive, str, str]]:
    """The archive's packages, by suite and newest first, each with its version."""
    for suites in BINARY_SUITES:
        archive = Archive(cache, suites)
        packages = [p for p in archive.names("linux-source-") if re.fullmatch(r"linux-source-\d+\.\d+", p)]
        for package in sorted(packages, key=_version_of, reverse=True):
            version = archive.candidate(package) if _version_of(package) >= OLDEST else None
            if version:
                yield archive, package, version
