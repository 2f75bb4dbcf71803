# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's first userland: a cpio archive with busybox, our init and kernel modules."""
import lzma
import shlex
import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ..base.errors import Failure
from ..base.paths import CHECKOUT
from ..base.shell import output

HOME = ".rmpopt"  # all our files are here, so that a user's initrd is left alone
INIT = CHECKOUT / "scripts" / "guest" / "init.sh"
BRING = INIT.with_name("bring.sh")
# The shell is started by name, because some kernels cannot run "#!" scripts.
KERNEL_WORDS = f"rdinit=/{HOME}/bin/busybox -- sh /{HOME}/init"
ALIGNMENT = 4


class Cpio:
    """Writes the "newc" format that the kernel unpacks."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._inode = 0
        self._directories: set[str] = set()

    def _add(self, name: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)) -> None:
        self._inode += 1
        encoded = name.encode() + b"\0"
        numbers = (self._inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % number for number in numbers)
        self._parts += [_padded(header + encoded), _padded(content)]

    def directory(self, name: str) -> None:
        """Adds a directory and its parents, each only once."""
        parent = name.rpartition("/")[0]
        if parent:
            self.directory(parent)
        if name not in self._directories:
            self._directories.add(name)
            self._add(name, stat.S_IFDIR | 0o755, b"")

    def _place(self, name: str) -> None:
        parent = name.rpartition("/")[0]
        if parent:
            self.directory(parent)

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        self._place(name)
        self._add(name, stat.S_IFREG | mode, content)

    def link(self, name: str, target: str) -> None:
        self._place(name)
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name: str, major: int, minor: int) -> None:
        self._place(name)
        self._add(name, stat.S_IFCHR | 0o600, b"", (major, minor))

    def archive(self) -> bytes:
        self._add("TRAILER!!!", 0, b"")
        return b"".join(self._parts)


def _padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % ALIGNMENT)


def busybox() -> Path:
    """The static busybox of this machine."""
    for place in ("/bin/busybox", "/usr/bin/busybox"):
        if Path(place).is_file():
            return Path(place)
    found = shutil.which("busybox")
    if not found:
        raise Failure("busybox is missing: run 'sudo apt-get install busybox-static'")
    return Path(found)


def _check_static(program: Path) -> None:
    _, text, _ = output(["readelf", "-l", program])
    if "INTERP" in text:
        raise Failure(f"{program} is not static: run 'sudo apt-get install busybox-static'")


def _module_content(path: Path) -> bytes:
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".ko":
        return path.read_bytes()
    status, _, _ = output(["zstd", "--version"])
    if path.suffix == ".zst" and status == 0:
        return subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout
    raise Failure(f"{path.name}: compressed in a way that can't be read here: install zstd or unpack the module")


def add_busybox(cpio: Cpio, program: Path, where: str) -> None:
    """The program and links with the names of its applets."""
    cpio.file(f"{where}/busybox", program.read_bytes(), 0o755)
    _, applets, _ = output([program, "--list"])
    for applet in applets.split():
        if applet != "busybox":
            cpio.link(f"{where}/{applet}", "busybox")


def add_files(cpio: Cpio, files: Sequence[Path]) -> None:
    """For /root."""
    for path in files:
        cpio.file(f"root/{path.name}", path.read_bytes(), stat.S_IMODE(path.stat().st_mode))


def add_modules(cpio: Cpio, modules: Sequence[Path], where: str) -> None:
    for path in modules:
        cpio.file(f"{where}/{module_name(path)}", _module_content(path))


def build(config: dict[str, str], command: str, modules: list[Path], files: list[Path], with_root: bool,
          tools: Sequence[Path] = (), brought: str = "") -> bytes:
    """The archive for one boot. files: for /root; tools: for our /bin. with_root: no initrd of the user supplies
    /bin, so that ours is it. brought: what the init mounts, if anything."""
    program = busybox()
    _check_static(program)
    cpio = Cpio()
    if with_root:
        for name in ("dev", "proc", "sys", "tmp", "run", "root", "etc"):
            cpio.directory(name)
        cpio.device("dev/console", 5, 1)
        cpio.device("dev/null", 1, 3)
        cpio.link("bin", f"{HOME}/bin")
        cpio.link("sbin", f"{HOME}/bin")
    add_busybox(cpio, program, f"{HOME}/bin")
    for path in tools:
        cpio.file(f"{HOME}/bin/{path.name}", path.read_bytes(), 0o755)
    for script in (INIT, *([BRING] if brought else [])):
        cpio.file(f"{HOME}/{script.stem}", script.read_bytes(), 0o755)
    lines = [f"{name}={shlex.quote(value)}" for name, value in config.items()]
    cpio.file(f"{HOME}/config", ("\n".join(lines) + "\n").encode())
    cpio.file(f"{HOME}/command", (command + "\n").encode())
    if brought:
        cpio.file(f"{HOME}/brought", brought.encode())
    add_files(cpio, files)
    add_modules(cpio, modules, f"{HOME}/modules")
    return cpio.archive()


def module_name(path: Path) -> str:
    return path.name.partition(".ko")[0] + ".ko"


def joined(ours: bytes, user: bytes) -> bytes:
    """Our archive, followed by the user's initrd. The kernel unpacks both; it stops at one that it cannot read, and
    does not always find the end of a compressed one, so ours is the first."""
    return _padded(ours) + user
