# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds a QEMU that the plugin works with: the user's, the host's or a private one."""
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..base.console import note
from ..base.errors import BadInput, Failure
from ..base.paths import COMMAND
from ..base.shell import last_line, output
from .archive import BINARY_SUITES, Archive, Suites
from .cache import Cache

PROGRAM = "qemu-system-x86_64"
OLDEST = (11, 1)
PLUGIN_API = 7
# QEMU's own symbols that the plugin uses. A QEMU that is built with modules exports them.
SYMBOLS = ("cpu_restore_state", "raise_exception_err_ra", "helper_read_eflags", "helper_write_eflags",
           "cpu_vmexit", "tlb_flush", "current_cpu")
PACKAGES = ("qemu-system-x86", "seabios")
PROBE_SOURCE = f"""
#include <stdio.h>
#include <stdlib.h>
int qemu_plugin_version = {PLUGIN_API};
int qemu_plugin_install(void) {{ puts("plugin-api-ok"); fflush(stdout); _Exit(0); }}
"""


@dataclass(frozen=True)
class Qemu:
    argv: tuple[str, ...]  # the words that start it
    binary: Path
    origin: str  # "given", "host" or "private"

    def version(self) -> str:
        _, text, _ = output([*self.argv, "--version"], timeout=30)
        found = re.search(r"version (\d+\.\d+(?:\.\d+)*)", text)
        return found.group(1) if found else ""


def private(entry: Path) -> Qemu:
    """The QEMU that was unpacked into a cache entry. It runs with its own loader and libraries."""
    root = entry / "root"
    libraries = root / "usr/lib/x86_64-linux-gnu"
    binary = root / "usr/bin" / PROGRAM
    argv = [root / "usr/lib64/ld-linux-x86-64.so.2", "--library-path", libraries, binary,
            "-L", root / "usr/share/qemu", "-L", root / "usr/share/seabios"]
    return Qemu(tuple(str(a) for a in argv), binary, "private")


def build_probe(cache: Cache) -> Path:
    """Builds a plugin that only ends QEMU when loaded. It shows whether QEMU has our version of the interface."""
    def make(where: Path) -> None:
        source = where / "probe.c"
        source.write_text(PROBE_SOURCE)
        status, _, problem = output(["cc", "-shared", "-fPIC", "-o", where / "probe.so", source])
        if status != 0:
            raise Failure(f"the C compiler does not work ({last_line(problem)}): run '{COMMAND} setup'")
    return cache.ensure("plugin-probe", f"api-{PLUGIN_API}", make) / "probe.so"


def unfit(qemu: Qemu, cache: Cache) -> str | None:
    """Why a QEMU can't be used; None if it can."""
    version = qemu.version()
    if not version:
        status, _, problem = output([*qemu.argv, "--version"], timeout=30)
        return f"does not run ({last_line(problem)}, status {status})"
    if tuple(int(n) for n in version.split(".")[:2]) < OLDEST:
        return f"is version {version}, too old: {OLDEST[0]}.{OLDEST[1]} or newer is needed"
    return _plugin_problem(qemu, version, cache) or _symbol_problem(qemu)


def _plugin_problem(qemu: Qemu, version: str, cache: Cache) -> str | None:
    status, text, problem = output([*qemu.argv, "-machine", "none", "-accel", "tcg", "-display", "none",
                                    "-plugin", build_probe(cache)], timeout=30)
    if status == 0 and "plugin-api-ok" in text:
        return None
    if "API version" in problem:
        return f"({version}) speaks another plugin interface than {PLUGIN_API}: {last_line(problem)}"
    return f"({version}) is built without TCG plugins: {last_line(problem)}"


def _symbol_problem(qemu: Qemu) -> str | None:
    status, text, problem = output(["nm", "-D", "--defined-only", qemu.binary])
    if status != 0:
        return f"can't be inspected: {last_line(problem)}"
    exported = {line.split()[-1].partition("@")[0] for line in text.splitlines()}
    absent = [name for name in SYMBOLS if name not in exported]
    if absent:
        return f"does not export {', '.join(absent)}: it must be built with modules, as Debian's is"
    return None


def given(path: str, cache: Cache) -> Qemu:
    """The QEMU that the user gave with --qemu. Fails with the reason if the plugin does not work with it."""
    found = shutil.which(path)
    if not found:
        raise BadInput(f"--qemu {path}: no such program")
    qemu = Qemu((found,), Path(found).resolve(), "given")
    reason = unfit(qemu, cache)
    if reason:
        raise BadInput(f"--qemu {path} {reason}; leave --qemu out to use a fitting one")
    return qemu


def _host(cache: Cache) -> Qemu | None:
    found = shutil.which(PROGRAM)
    if not found:
        return None
    qemu = Qemu((found,), Path(found).resolve(), "host")
    return None if unfit(qemu, cache) else qemu


def _unpack(archive: Archive, version: str, cache: Cache) -> Path:
    def make(where: Path) -> None:
        archive.unpack_closure(PACKAGES, f"downloading QEMU {version} and its libraries", where / "root")
    return cache.ensure("qemu", version.replace(":", "_"), make)


def _fetch_from(suites: Suites, cache: Cache) -> tuple[Qemu | None, str]:
    archive = Archive(cache, suites)
    version = archive.candidate("qemu-system-x86")
    if not version:
        return None, f"{suites.name}: none"
    upstream = tuple(int(n) for n in re.findall(r"\d+", version.partition(":")[2] or version)[:2])
    if upstream < OLDEST:
        return None, f"{suites.name}: {version} is too old"
    qemu = private(_unpack(archive, version, cache))
    reason = unfit(qemu, cache)
    return (None, f"{suites.name}: {version} {reason}") if reason else (qemu, "")


def find(cache: Cache) -> Qemu | None:
    """A QEMU that need not be fetched: the host's if it is suitable, otherwise the private one in the cache."""
    host = _host(cache)
    if host:
        return host
    entry = cache.newest("qemu")
    return private(entry) if entry else None


def ensure(cache: Cache) -> Qemu:
    found = find(cache)
    if found:
        return found
    tried = []
    for suites in BINARY_SUITES:
        qemu, reason = _fetch_from(suites, cache)
        if qemu:
            note(f"QEMU {qemu.version()} from Debian {suites.name}")
            return qemu
        tried.append(reason)
    raise Failure(f"no QEMU with plugin interface {PLUGIN_API} in the archive ({'; '.join(tried)}): "
                  "give one with --qemu")
