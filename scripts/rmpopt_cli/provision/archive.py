# SPDX-License-Identifier: GPL-2.0-or-later
"""Fetches Debian packages without touching the machine, by an apt with its own state and sources.

An empty dpkg status makes apt resolve a package with all its dependencies, so that the unpacked
files run on an older Debian. The mirror is the one that the machine's own apt uses.
"""
import functools
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..base.console import Progress, say
from ..base.errors import Failure
from ..base.shell import environment, last_line, output, started
from .cache import Cache

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
DEBIAN_SUITE = re.compile(r"'(\S+?/)dists/(?:bookworm|trixie|forky|duke|sid|unstable|testing|stable|oldstable)"
                          r"(?:-updates|-backports)?/InRelease'")


def mirror() -> str:
    """The URL of the Debian archive that this machine's apt uses."""
    explicit = os.environ.get("RMPOPT_DEBIAN_MIRROR")
    if explicit:
        return explicit.rstrip("/") + "/"
    _, listed, _ = output(["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(LABEL)"])
    for line in listed.splitlines():
        uri, _, name = line.partition(" ")
        if name == "Debian Debian":
            return uri
    _, listed, _ = output(["apt-get", "--print-uris", "update"])  # works before the first update
    found = DEBIAN_SUITE.search(listed)
    if found:
        return found.group(1)
    raise Failure("no Debian archive in this machine's apt sources: set RMPOPT_DEBIAN_MIRROR=URL, "
                  "or give --qemu and --kernel")


@dataclass(frozen=True)
class Suites:
    """A set of suites that packages are taken from together."""
    name: str
    binary: tuple[str, ...] = ()
    prefer: str = ""  # codename of the suite whose QEMU, firmware and kernels are preferred


TRIXIE = Suites("trixie", binary=("trixie", "trixie-backports"), prefer="trixie-backports")
FORKY = Suites("forky", binary=("forky",))
SID = Suites("sid", binary=("sid",))
BINARY_SUITES = (TRIXIE, FORKY, SID)

PREFERRED = "qemu* seabios linux-source-* linux-image-*"


class Archive:
    """One isolated apt, with lists, pins and downloads below the cache directory. The lock is there because two apts
    cannot use one directory at the same time."""

    _updated: set[Path] = set()  # by this process

    def __init__(self, cache: Cache, suites: Suites) -> None:
        self.suites = suites
        self.top = cache.directory(f"apt/{suites.name}")
        self._lock = functools.partial(cache.lock, f"apt-{suites.name}")

    def _options(self) -> list[str]:
        top = self.top
        pairs = {
            "Dir::State": top / "state", "Dir::State::status": top / "status", "Dir::Cache": top / "cache",
            "Dir::Etc::SourceList": top / "sources.list", "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": top / "preferences", "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::Etc::TrustedParts": "/dev/null", "APT::Install-Recommends": "0", "APT::Architecture": "amd64",
            "APT::Architectures": "amd64", "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
            "Acquire::Languages": "none", "Acquire::Retries": "3",
            # A mirror may lag and the machine's clock may be wrong. Signatures are checked all the same.
            "Acquire::Check-Valid-Until": "false", "Acquire::Check-Date": "false",
        }
        options = []
        for name, value in pairs.items():
            options += ["-o", f"{name}={value}"]
        return options

    def _configure(self) -> None:
        for name in ("state/lists/partial", "cache/archives/partial"):
            (self.top / name).mkdir(parents=True, exist_ok=True)
        (self.top / "status").write_text("")
        signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
        where = mirror()
        lines = [f"deb {signed}{where} {suite} main" for suite in self.suites.binary]
        (self.top / "sources.list").write_text("\n".join(lines) + "\n")
        pin = f"Package: {PREFERRED}\nPin: release n={self.suites.prefer}\nPin-Priority: 900\n"
        (self.top / "preferences").write_text(pin if self.suites.prefer else "")

    def _run(self, words: Sequence[str], progress: Progress, cwd: Path | None = None) -> None:
        """Runs apt-get, turning its status lines into progress."""
        reader, writer = os.pipe()
        argv = ["apt-get", "-q", *self._options(), "-o", f"APT::Status-Fd={writer}", *words]
        log = self.top / "log"
        with (self._lock(), os.fdopen(reader, errors="replace") as status, log.open("w") as stream,
              started(argv, stdout=stream, stderr=stream, cwd=cwd, pass_fds=[writer], env=environment()) as process):
            os.close(writer)
            for line in status:
                fields = line.split(":", 3)
                if fields[0] == "dlstatus" and len(fields) == 4:
                    progress.update(f"{float(fields[2]):3.0f} %")
            failed = process.wait() != 0
        if failed:
            text = log.read_text(errors="replace")
            errors = [line for line in text.splitlines() if line.startswith("E:")]
            raise Failure(f"apt-get {words[0]} ({self.suites.name}): {errors[0] if errors else last_line(text)}: "
                          "check the network and the mirror")

    def update(self) -> None:
        with self._lock():
            if self.top not in self._updated:
                self._update()
                self._updated.add(self.top)

    def _update(self) -> None:
        self._configure()
        progress = Progress(f"reading the package lists of Debian {self.suites.name}")
        try:
            self._run(["update"], progress)
            progress.done()
        except Failure as problem:
            lists = (self.top / "state" / "lists").glob("*_main_*")
            if not any(lists):
                raise
            progress.done(f"going on without some of them: {problem}")

    def query(self, *words: str) -> str:
        """Runs apt-cache on these lists."""
        self.update()
        status, text, problem = output(["apt-cache", *self._options(), *words])
        if status != 0:
            raise Failure(f"apt-cache {words[0]}: {last_line(problem)}")
        return text

    def candidate(self, package: str) -> str | None:
        """The version of a package that apt would install."""
        found = re.search(r"Candidate: (\S+)", self.query("policy", package))
        return found.group(1) if found and found.group(1) != "(none)" else None

    def names(self, pattern: str) -> list[str]:
        return self.query("pkgnames", pattern).split()

    def unpack_closure(self, packages: Sequence[str], title: str, root: Path) -> None:
        """Downloads packages with all their dependencies, and unpacks what their programs need. Resumes an interrupted
        download."""
        self.update()
        wanted = self._closure_files(packages)
        progress = Progress(title)
        self._run(["-y", "--download-only", "install", *packages], progress)
        progress.done()
        say(f"unpacking {len(wanted)} packages")
        for name in wanted:
            unpack_deb(self.top / "cache" / "archives" / name, root)
        for needless in ("usr/share/doc", "usr/share/man", "usr/share/locale", "var"):
            shutil.rmtree(root / needless, ignore_errors=True)

    def _closure_files(self, packages: Sequence[str]) -> list[str]:
        """The file names of the packages and their dependencies: apt's plan as if nothing had been downloaded yet."""
        nothing = self.top / "nothing"
        (nothing / "partial").mkdir(parents=True, exist_ok=True)
        _, text, _ = output(["apt-get", *self._options(), "-y", "--print-uris", "-o",
                             f"Dir::Cache::Archives={nothing}", "install", *packages])
        return re.findall(r"^'\S+' (\S+\.deb) ", text, re.M)

    def fetch(self, package: str, title: str) -> Path:
        """Downloads one package without dependencies."""
        self.update()
        where = self.top / "single"
        where.mkdir(exist_ok=True)
        progress = Progress(title)
        self._run(["download", package], progress, cwd=where)
        progress.done()
        name = package.partition("=")[0]
        found = sorted(where.glob(f"{name}_*.deb"), key=lambda p: p.stat().st_mtime)
        if not found:
            raise Failure(f"apt-get download {package} left no file")
        return found[-1]


def sort_versions(versions: set[str]) -> list[str]:
    """Sorts by Debian's ordering, newest first."""
    def compare(a: str, b: str) -> int:
        return 1 if subprocess.run(["dpkg", "--compare-versions", a, "gt", b]).returncode == 0 else -1

    return sorted(versions, key=functools.cmp_to_key(compare), reverse=True)


def unpack_deb(package: Path, where: Path) -> None:
    """Unpacks a downloaded package and removes the download."""
    status, _, problem = output(["dpkg-deb", "-x", package, where], timeout=900)
    package.unlink(missing_ok=True)  # even if it is damaged, so that it is fetched again next time
    if status != 0:
        raise Failure(f"{package.name} can't be unpacked ({last_line(problem)}): run the command again")
