# SPDX-License-Identifier: GPL-2.0-or-later
"""Provides the source of libvfio-user, which Debian has only inside QEMU's source package."""
import functools
import re
import shutil
import tarfile
from pathlib import Path

from ..base.console import Progress, note
from ..base.errors import Failure
from .archive import SOURCES, Archive
from .cache import Cache

INSIDE = re.compile(r"^[^/]+/subprojects/libvfio-user/")


def _extract(tarball: Path, where: Path) -> bool:
    """Unpacks the library's directory. Returns False if the tarball has none."""
    found = False
    with tarfile.open(tarball) as source:
        for member in source:
            inside = INSIDE.match(member.name)
            if not inside or not (member.isfile() or member.isdir()):
                continue
            found = True
            member.name = member.name[inside.end():] or "."
            source.extract(member, where)
    return found


def _fetch(archive: Archive, version: str, where: Path, progress: Progress) -> None:
    scratch = archive.top / "unpack"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        if not archive.fetch_source("qemu", version, scratch, progress):
            raise Unavailable("is not on the mirror any more")
        progress.update("unpacking")
        if not any(_extract(tarball, where) for tarball in scratch.glob("*.orig.tar.*[!c]")):
            raise Unavailable("has no libvfio-user")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def find(cache: Cache) -> Path | None:
    return cache.newest("libvfio-user")


def ensure(cache: Cache) -> Path:
    found = find(cache)
    if found:
        return found
    archive = Archive(cache, SOURCES)
    versions = archive.source_versions("qemu")
    progress = Progress("fetching libvfio-user from QEMU's source")
    for version in versions:
        try:
            made = cache.ensure("libvfio-user", version.replace(":", "_"),
                                functools.partial(_fetch, archive, version, progress=progress))
        except Unavailable as problem:
            note(f"QEMU source {version} {problem}: taking the next")
        else:
            progress.done()
            return made
    raise Failure(f"no QEMU source package with libvfio-user on the mirror (tried: {', '.join(versions) or 'none'})")


class Unavailable(Exception):
    """This version is not available, but another may be."""
