# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the README's first commands in fresh installations of the Debian releases that it promises, made by debootstrap.

Each installation runs in namespaces of its own. However this program ends, all processes in them end, too, and their
mounts disappear.
"""
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rmpopt_cli.base import lock
from rmpopt_cli.base.console import Progress
from rmpopt_cli.base.errors import OK, SETUP_FAILED, BadInput, Failure
from rmpopt_cli.base.paths import CHECKOUT
from rmpopt_cli.base.shell import environment, last_line, logged, output, started
from rmpopt_cli.provision import archive, project
from rmpopt_cli.provision.cache import Cache
from .command import Check

SPACE_NEEDED = 16 << 30
USER = "tester"
# Mirrors may lag and clocks may be wrong. Signatures are checked all the same.
APT = 'Acquire::Check-Valid-Until "false";\nAcquire::Check-Date "false";\nDPkg::Use-Pty "false";\n'
# $1: the root directory, $2: the directory that keeps packages between runs.
ENTER = """
mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && mount --rbind /sys "$1/sys" &&
mount --bind "$2" "$1/var/cache/apt/archives" && shift 2 && exec "$@"
"""
AS_USER = ("runuser", "-u", USER, "--", "env", f"HOME=/home/{USER}")


@dataclass(frozen=True)
class Step:
    """A command to run in the checkout of root or of the user."""
    name: str
    command: str
    as_user: bool = False
    status: int = OK
    says: str = ""


# Compiles with the release's own compiler and with warnings as errors, which the user's build does not have.
STRICTLY = f"{project.WARNINGS_ARE_ERRORS}=1 "
STEPS = (
    Step("bare system, user: asks for packages", "scripts/rmpopt boot", True, SETUP_FAILED, "apt-get install"),
    Step("root: first boot", STRICTLY + "scripts/rmpopt boot"),
    Step("root: set-up", STRICTLY + "scripts/rmpopt setup"),
    Step("root: model's tests", "meson test -C build --no-rebuild --suite hw-model"),
    # Takes root's kernel, because only QEMU, the source and the build are under test here.
    Step("user: first boot", "scripts/rmpopt boot", True),
    Step("user: model's tests", "meson configure build -Dtests=true && meson test -C build 'hw model'", True),
)
AS_PACKAGE = Step("root: Debian package",
                  "apt-get -y --no-install-recommends build-dep . && "
                  "apt-get -y --no-install-recommends install lintian && "
                  "dpkg-buildpackage -us -uc -b && lintian --allow-root --fail-on error,warning ../rmpopt_*.changes && "
                  "apt-get -y --no-install-recommends install ../rmpopt_*_amd64.deb && "
                  "cd / && rmpopt boot -- true && apt-get -y purge rmpopt && ! test -e /usr/share/rmpopt")
# Its guest needs what this bare system lacks: udev, and a poweroff.
WITH_VNG = Step("root: virtme-ng",
                "apt-get -y --no-install-recommends install virtme-ng udev systemd-sysv && "
                "scripts/rmpopt vng -- --cpus 4 --memory 2G --run $(scripts/rmpopt kernel build) "
                "--exec 'dmesg | grep \"SEV-SNP enabled (ASIDs\"'")
WITH_CLANG = Step("clang: plugin, model's tests",
                  "CC=clang CXX=clang++ meson setup build-clang -Dtests=true -Dwerror=true -Dbuildtype=release && "
                  "ninja -C build-clang for-guests && meson test -C build-clang 'hw model'")
# Debian 12 has no virtme-ng.
RELEASES = {"bookworm": (*STEPS, AS_PACKAGE), "trixie": (*STEPS, AS_PACKAGE, WITH_VNG),
            "sid": (*STEPS, AS_PACKAGE, WITH_VNG, WITH_CLANG)}
KEPT_FOR_USER = ("kernel", "linux-source")


def chosen(pattern: str) -> list[str]:
    found = [suite for suite in RELEASES if pattern in suite]
    if not found:
        raise BadInput(f"test --distros {pattern}: no such release: give {', '.join(RELEASES)} or nothing for all")
    return found


def check_possible(cache: Cache) -> None:
    if os.geteuid() != 0:
        raise BadInput("test --distros makes whole installations: run it as root")
    absent = [name for name in ("debootstrap", "unshare", "setpriv") if not shutil.which(name)]
    if absent:
        raise BadInput(f"test --distros needs {', '.join(absent)}: run 'apt-get install debootstrap util-linux'")
    free = shutil.disk_usage(cache.directory("distros")).free
    if free < SPACE_NEEDED:
        raise BadInput(f"test --distros needs {SPACE_NEEDED >> 30} GiB in {cache.root}, {free >> 30} are free: "
                       "make room or set RMPOPT_CACHE")


class Installation:
    """A fresh installation of a release, with the checkout in the homes of root and of a user."""

    def __init__(self, cache: Cache, suite: str, top: Path) -> None:
        self._cache, self._suite = cache, suite
        self._root = top
        self._packages = cache.directory(f"distros/packages-{suite}")
        self.log = cache.directory("log") / f"distro-{suite}"
        self.log.unlink(missing_ok=True)

    def make(self) -> None:
        base = self._cache.ensure("distros", self._suite, self._bootstrap) / "root.tar"
        self._unpack(base)
        (self._root / "etc/apt/apt.conf.d/50rmpopt").write_text(APT)
        for name in ("hosts", "resolv.conf"):
            shutil.copyfile(f"/etc/{name}", self._root / "etc" / name)
        self._must("useradd", "--create-home", "--shell", "/bin/bash", USER)
        self._copy_checkout()

    def _bootstrap(self, where: Path) -> None:
        progress = Progress(f"making a root of Debian {self._suite}")
        scratch = where / "root"
        words = ["debootstrap", "--variant=minbase", "--include=ca-certificates", self._suite, scratch,
                 archive.mirror()]
        if logged(words, self.log, progress.update) != 0:
            raise Failure(f"debootstrap {self._suite}: {last_line(self.log.read_text(errors='replace'))}")
        status, _, problem = output(["tar", "-C", scratch, "-cf", where / "root.tar", "."], timeout=600)
        if status != 0:
            raise Failure(f"packing the root of {self._suite}: {last_line(problem)}")
        shutil.rmtree(scratch)
        progress.done()

    def _unpack(self, base: Path) -> None:
        status, _, problem = output(["tar", "-C", self._root, "-xpf", base], timeout=600)
        if status != 0:
            raise Failure(f"unpacking the root of {self._suite}: {last_line(problem)}")

    def _copy_checkout(self) -> None:
        """Copies the files that a clone would have, including changes that are not committed yet."""
        status, listed, problem = output(["git", "-C", CHECKOUT, "ls-files", "-z", "--cached", "--others",
                                          "--exclude-standard"])
        if status != 0:
            raise Failure(f"git ls-files: {last_line(problem)}")
        names = [name for name in listed.split("\0") if (CHECKOUT / name).is_file()]
        for home in ("root", f"home/{USER}"):
            where = self._root / home / "rmpopt"
            for name in names:
                (where / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(CHECKOUT / name, where / name, follow_symlinks=False)
        self._must("chown", "-R", f"{USER}:", f"/home/{USER}")

    def give_to_user(self) -> None:
        """Copies root's kernel and its source, which took minutes to make."""
        theirs = f"/home/{USER}/.cache/rmpopt"
        for kind in KEPT_FOR_USER:
            if (self._root / "root/.cache/rmpopt" / kind).is_dir():
                self._must("mkdir", "-p", theirs)
                self._must("cp", "-a", f"/root/.cache/rmpopt/{kind}", theirs)
        self._must("chown", "-R", f"{USER}:", f"/home/{USER}")

    def _must(self, *words: str) -> None:
        status, text = self.run(list(words))
        if status != OK:
            raise Failure(f"{words[0]} in Debian {self._suite}: {last_line(text)}")

    def run(self, words: list[str], progress: Progress | None = None) -> tuple[int, str]:
        """Runs a command in the installation and returns its status and output. All its processes are in a namespace
        that ends with the first of them, and that one ends with us, even if we are killed."""
        argv = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child",
                "--propagation", "private", "sh", "-c", ENTER, "enter", self._root, self._packages,
                "chroot", self._root, "env", "-i", *_variables(), *words]
        text = []
        with started(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                     env=environment(), text=True, errors="replace") as process, self.log.open("a") as log:
            try:
                for line in process.stdout:
                    log.write(line)
                    log.flush()
                    text.append(line)
                    if progress:
                        progress.update(line.strip()[:100])
            except BaseException:
                process.kill()  # unshare does not listen to other signals
                raise
            return process.wait(), "".join(text)

    def problem(self, step: Step) -> str | None:
        home = f"/home/{USER}" if step.as_user else "/root"
        words = [*(AS_USER if step.as_user else ()), "sh", "-c", f"cd {home}/rmpopt && {step.command}"]
        progress = Progress(f"Debian {self._suite}: {step.command.removeprefix(STRICTLY)}")
        status, text = self.run(words, progress)
        progress.done(f"status {status}")
        if status != step.status:
            errors = [line for line in text.splitlines() if "error:" in line]
            said = (errors or [last_line(text)])[-1].strip()
            return f"status {status} instead of {step.status}: {said}; log: {self.log}"
        return None if step.says in text else f"nothing about '{step.says}', but: {last_line(text)}"


def _variables() -> list[str]:
    """The environment of the commands: a minimal one, with this machine's proxy settings."""
    passed = [f"{name}={value}" for name, value in os.environ.items()
              if name.lower().endswith("_proxy") or name == "RMPOPT_DEBIAN_MIRROR"]
    return ["HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "TERM=dumb", *passed]


@contextmanager
def scratch(cache: Cache, suite: str) -> Iterator[Path]:
    """A directory for an installation. Removes one that an interrupted run has left."""
    parent = cache.directory("distros-run")
    with lock.held(parent / f"{suite}.lock", f"Debian {suite} in {parent}"):
        top = parent / suite
        _remove(top)
        top.mkdir()
        try:
            yield top
        finally:
            _remove(top)


def _remove(top: Path) -> None:
    if not top.exists():
        return
    if any(str(top) in line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()):
        raise Failure(f"something is mounted below {top}: unmount it")
    shutil.rmtree(top)


def checks(cache: Cache, suite: str) -> Iterator[tuple[str, Check]]:
    """Runs each step once. If the installation itself fails, the other steps are left out."""
    with scratch(cache, suite) as top:
        place = Installation(cache, suite, top)
        place.make()
        for step in RELEASES[suite]:
            if step.name == "user: first boot":
                place.give_to_user()
            yield f"Debian {suite}, {step.name}", lambda step=step: place.problem(step)
