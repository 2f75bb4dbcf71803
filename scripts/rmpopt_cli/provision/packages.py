# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine's own packages that are needed for building and testing."""
import os
import shutil
from collections.abc import Iterable

from ..base.console import Progress
from ..base.errors import Failure
from ..base.paths import IS_INSTALLED
from ..base.shell import last_line, logged, output
from .cache import Cache

# Package -> what it is for; everything is in Debian 12 and 13.
NEEDED_BY_PROJECT = {
    "meson": "build of the project",
    "ninja-build": "build of the project",
    "pkg-config": "build of the project",
    "libglib2.0-dev": "plugin interface",
    "libfmt-dev": "plugin",
    "libzydis-dev": "plugin",
    "nlohmann-json3-dev": "plugin",
    "libmbedtls-dev": "digests and signatures of the secure processor",
}
NEEDED = {
    "build-essential": "compiler for plugin and kernel",
    **({} if IS_INSTALLED else NEEDED_BY_PROJECT),
    "bc": "kernel build",
    "bison": "kernel build",
    "flex": "kernel build",
    "libelf-dev": "kernel build",
    "libssl-dev": "kernel build",
    "xz-utils": "unpacking",
    "lz4": "kernel build",
    "git": "applying patches",
    "openssl": "certificates and their verification",
    "busybox-static": "guest userland",
    "kmod": "guest kernel modules",
    "debian-archive-keyring": "checking downloads",
}
NEEDED_BY_TESTS = {
    "ccache": "building another checkout",
    "libgtest-dev": "model tests",
    "librapidcheck-dev": "model tests",
    "clang": "fuzzers of the model",
    "libclang-rt-dev": "fuzzers of the model",
    "uuid-dev": "the kernel's selftests",
    "cpio": "tests of the scripts",
    "python3-jsonschema": "tests of reports",
    "chromium": "tests of reports",
}


def missing(wanted: Iterable[str] = (*NEEDED, *(() if IS_INSTALLED else NEEDED_BY_TESTS))) -> list[str]:
    """The packages that are not installed."""
    if not shutil.which("dpkg-query"):
        raise Failure("this is not a Debian machine (no dpkg): install the packages by hand, see README.md")
    names = list(wanted)
    _, listed, _ = output(["dpkg-query", "-W", "-f", "${binary:Package} ${db:Status-Status}\n", *names])
    present = set()
    for line in listed.splitlines():
        name, _, state = line.partition(" ")
        if state == "installed":
            present.add(name.partition(":")[0])
    return [name for name in names if name not in present]


def install_line(names: list[str]) -> str:
    return "apt-get install --no-install-recommends " + " ".join(names)


def ensure(cache: Cache, tests: bool = False, further: Iterable[str] = ()) -> None:
    """Installs missing packages if it runs as root; otherwise fails with the command that installs them."""
    names = missing((*NEEDED, *(NEEDED_BY_TESTS if tests else ()), *further))
    if not names:
        return
    if os.geteuid() != 0:
        raise Failure(f"packages are missing: run 'sudo {install_line(names)}'")
    progress = Progress(f"installing {len(names)} packages")
    log = cache.directory("log") / "packages"
    log.unlink(missing_ok=True)

    def show(line: str) -> None:
        progress.update(line[:70])

    install = ["apt-get", "-q", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=600", "install", *names]
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    if logged(install, log, show, extra_env=quiet) != 0:  # lists may be absent or old
        logged(["apt-get", "-q", "update"], log, show)
        if logged(install, log, show, extra_env=quiet) != 0:
            errors = [line for line in log.read_text().splitlines() if line.startswith("E:")]
            raise Failure(f"packages can't be installed: {last_line(chr(10).join(errors))} (log: {log})")
    progress.done()
