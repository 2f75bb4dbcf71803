# SPDX-License-Identifier: GPL-2.0-or-later
"""Provides kernels as Debian packages them: from the archive, or from packages that the user has."""
import functools
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..base.console import say
from ..base.errors import BadInput, Failure
from ..base.shell import last_line, output
from .archive import BINARY_SUITES, Archive, sort_versions, unpack_deb
from .cache import Cache, sha256_file, sha256_text

NAME = re.compile(r"debian(?::(\d+\.\d+))?")
OLDEST = (7, 3)  # of those that "debian" stands for
META_PACKAGE = "linux-image-amd64"
PACKAGE = re.compile(r"linux-image-(\d+\.\d+\S*-amd64)")
PART = re.compile(r"\b(linux-(?:binary|image|modules)-\d[\w.+~-]*)")  # where Debian splits a kernel
FLAVOURS = re.compile(r"-(?:rt|cloud)-")


@dataclass
class Kernel:
    image: Path
    modules: Path | None = None  # where they are, if it has any
    options: dict[str, str] = field(default_factory=dict)  # of its .config, as far as that is known


def is_name(text: str) -> bool:
    if text.startswith("debian:") and not NAME.fullmatch(text):
        raise BadInput(f"kernel {text}: give debian, or debian:MAJOR.MINOR such as debian:6.12")
    return NAME.fullmatch(text) is not None


def is_package(path: Path) -> bool:
    return path.suffix == ".deb"


def _version(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in release.split("-")[0].split("+")[0].split(".")[:2])


# From the archive


def from_archive(cache: Cache, name: str) -> Kernel:
    """The newest kernel that "debian" or "debian:VERSION" means, from the cache or from the archive."""
    found = NAME.fullmatch(name)
    wanted = found[1] if found else None
    entry = cache.newest("debian-kernel", lambda release: _suits(release, wanted)) or _fetch(cache, wanted)
    return _kernel(entry)


def _suits(release: str, wanted: str | None) -> bool:
    return release[:1].isdigit() and (_version(release) >= OLDEST if wanted is None else
                                      _version(release) == _version(wanted))


def _releases(archive: Archive, wanted: str | None) -> list[str]:
    """The releases of Debian's kernels that suit, the best one first."""
    if wanted is None:
        found = re.search(rf"Depends: {PACKAGE.pattern}", archive.query("depends", META_PACKAGE))
        return [found[1]] if found and _suits(found[1], None) else []
    return sort_versions({release for release in _all_releases(archive) if _suits(release, wanted)})


def _all_releases(archive: Archive) -> list[str]:
    return [found[1] for name in archive.names("linux-image-")
            if (found := PACKAGE.fullmatch(name)) and not FLAVOURS.search(name)]


def _fetch(cache: Cache, wanted: str | None) -> Path:
    for suites in BINARY_SUITES:
        archive = Archive(cache, suites)
        for release in _complete(archive, _releases(archive, wanted))[:1]:
            return cache.ensure("debian-kernel", release, functools.partial(_download, archive, release))
    if wanted is None:
        raise Failure(f"the archive has no linux-image {OLDEST[0]}.{OLDEST[1]} or newer: give a kernel with --kernel")
    say(f"the archive has no linux-image {wanted}: looking for those that it has")
    raise BadInput(f"kernel debian:{wanted}: the archive has no linux-image {wanted} with all of its parts: it has "
                   f"{', '.join(versions(cache)) or 'none'}")


def versions(cache: Cache) -> list[str]:
    """Those that the archive has with all of their parts, such as "6.12", newest first."""
    return sort_versions({".".join(map(str, _version(release)))
                          for archive in (Archive(cache, suites) for suites in BINARY_SUITES)
                          for release in _complete(archive, _all_releases(archive))})


def _complete(archive: Archive, releases: list[str]) -> list[str]:
    """Those whose image has all the parts that it needs. Angle brackets mark what the archive lacks or has no more,
    unless a package below provides it. All are asked for at once: apt reads its lists anew for each question."""
    text = archive.query("depends", *(f"linux-image-{release}" for release in releases)) if releases else ""
    needs = dict(re.findall(r"^linux-image-(\S+)\n((?:[ |].*\n)*)", text, re.M))
    return [release for release in releases
            if not re.search(r"^ *Depends: <linux-(?:binary|modules)-[^>]*>\n(?!    )", needs[release], re.M)]


def _packages(archive: Archive, release: str) -> list[str]:
    """The image's package, and its parts if Debian splits it. Angle brackets mark what another package provides."""
    text = archive.query("depends", f"linux-image-{release}")
    needed = "\n".join(re.findall(r"^ *Depends: ([^<\n]*)$", text, re.M))
    return [f"linux-image-{release}", *(name for name in PART.findall(needed) if name.endswith(release))]


def _download(archive: Archive, release: str, where: Path) -> None:
    for package in _packages(archive, release):
        unpack_deb(archive.fetch(package, f"downloading {package}"), where / "unpacked")
    _arrange(where, f"linux-image-{release}")


# From the user's packages


def with_parts(package: Path) -> list[Path]:
    """A package of a kernel and its parts, which must lie beside it."""
    found: list[Path] = []
    wanted, provided, absent = [package], set(), []
    while wanted:
        found.append(wanted.pop())
        name, depends, provides = _fields(found[-1])
        provided |= {name, *provides}
        for part in depends:
            beside = sorted(package.parent.glob(f"{part}_*.deb"))
            if not beside:
                absent.append(part)
            elif not {*beside} & {*found, *wanted}:
                wanted.append(beside[-1])
    for part in absent:
        if part not in provided:
            raise BadInput(f"kernel {package} needs {part}, which is not beside it: run 'apt-get download {part}' "
                           "there")
    return found


def _fields(package: Path) -> tuple[str, list[str], list[str]]:
    """Name of a kernel's package, and the parts of kernels that it needs and provides."""
    status, text, problem = output(["dpkg-deb", "-f", package, "Package", "Depends", "Provides"])
    if status != 0:
        raise BadInput(f"kernel {package} is no Debian package: {last_line(problem)}")
    fields = dict(re.findall(r"^(\w+): (.*)", text, re.M))
    if not PART.fullmatch(fields.get("Package", "")):
        raise BadInput(f"kernel {package} is no package of a kernel: give linux-image-VERSION_*.deb")
    return fields["Package"], PART.findall(fields.get("Depends", "")), PART.findall(fields.get("Provides", ""))


def from_packages(cache: Cache, package: Path) -> Kernel:
    packages = with_parts(package)
    key = sha256_text(*sorted(sha256_file(path) for path in packages))[:24]
    return _kernel(cache.ensure("kernel-package", key, functools.partial(_unpack, packages)))


def _unpack(packages: Iterable[Path], where: Path) -> None:
    names = [path.name for path in packages]
    say(f"unpacking {' and '.join(names)}")
    for path in packages:
        status, _, problem = output(["dpkg-deb", "-x", path, where / "unpacked"], timeout=900)
        if status != 0:
            raise BadInput(f"kernel {path} can't be unpacked: {last_line(problem)}")
    _arrange(where, names[0])


# Both


def _arrange(where: Path, title: str) -> None:
    """Takes the image, its symbols and its modules out of what was unpacked."""
    unpacked = where / "unpacked"
    images = [*unpacked.glob("**/lib/modules/*/vmlinuz"), *unpacked.glob("boot/vmlinuz-*")]
    if not images:
        raise BadInput(f"{title} holds no kernel image")
    shutil.copy2(images[0], where / "vmlinuz")
    for symbols in unpacked.glob("boot/System.map-*"):
        shutil.copy2(symbols, where / "System.map")
    for directory in unpacked.glob("**/lib/modules/*"):
        directory.rename(where / "modules")
        break
    shutil.rmtree(unpacked)


def _kernel(entry: Path) -> Kernel:
    modules = entry / "modules"
    return Kernel(entry / "vmlinuz", modules if modules.is_dir() else None)
