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
from . import modules
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
    modules: list[Path] = field(default_factory=list)  # in the order of loading


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
    return sort_versions({found[1] for name in archive.names(f"linux-image-{wanted}")
                          if (found := PACKAGE.fullmatch(name)) and not FLAVOURS.search(name)
                          and _suits(found[1], wanted)})


def _fetch(cache: Cache, wanted: str | None) -> Path:
    for suites in BINARY_SUITES:
        archive = Archive(cache, suites)
        for release in _releases(archive, wanted):
            return cache.ensure("debian-kernel", release, functools.partial(_download, archive, release))
    if wanted is None:
        raise Failure(f"the archive has no linux-image {OLDEST[0]}.{OLDEST[1]} or newer: give a kernel with --kernel")
    raise Failure(f"the archive has no linux-image {wanted}: it has {', '.join(versions(cache)) or 'none'}")


def versions(cache: Cache) -> list[str]:
    """Those that the archive has, such as "6.12", newest first."""
    names = [name for suites in BINARY_SUITES for name in Archive(cache, suites).names("linux-image-")]
    return sort_versions({".".join(map(str, _version(found[1]))) for name in names
                          if (found := PACKAGE.fullmatch(name)) and not FLAVOURS.search(name)})


def _download(archive: Archive, release: str, where: Path) -> None:
    parts = PART.findall(archive.query("depends", f"linux-image-{release}"))
    names = dict.fromkeys([f"linux-image-{release}", *(name for name in parts if name.endswith(release))])
    for package in names:
        unpack_deb(archive.fetch(package, f"downloading {package}"), where / "unpacked")
    _arrange(where, f"linux-image-{release}")


# From the user's packages


def with_parts(package: Path) -> list[Path]:
    """A package of a kernel and its parts, which must lie beside it."""
    found: list[Path] = []
    wanted = [package]
    while wanted:
        found.append(wanted.pop())
        status, text, problem = output(["dpkg-deb", "-f", found[-1], "Package", "Depends"])
        if status != 0:
            raise BadInput(f"kernel {found[-1]} is no Debian package: {last_line(problem)}")
        own = re.search(r"^Package: (\S+)", text, re.M)
        if not own or not PART.fullmatch(own[1]):
            raise BadInput(f"kernel {found[-1]} is no package of a kernel: give linux-image-VERSION_*.deb")
        for name in PART.findall(text.partition("Depends:")[2]):
            beside = sorted(package.parent.glob(f"{name}_*.deb"))
            if not beside:
                raise BadInput(f"kernel {package} needs {name}, which is not beside it: run 'apt-get download {name}' "
                               "there")
            if not {*beside} & {*found, *wanted}:
                wanted.append(beside[-1])
    return found


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
    has_modules = (entry / "modules").is_dir()
    return Kernel(entry / "vmlinuz", modules.in_order(entry / "modules") if has_modules else [])
