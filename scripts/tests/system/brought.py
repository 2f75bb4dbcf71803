# SPDX-License-Identifier: GPL-2.0-or-later
"""What users bring into the guest works there, beside SNP, and nothing of theirs changes that they did not allow."""
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from rmpopt_cli.base.errors import OK, SETUP_FAILED
from rmpopt_cli.base.paths import PROGRAM
from rmpopt_cli.base.shell import last_line, output
from .boots import Boot
from .command import TAKES_AT_MOST, Checks, scratch

DISK_SIZE = 8 << 20
SHOWN, CHANGED = b"as it was", b"as it is!"
# The words that the guest must say, and it stops at the first that is wrong.
SCRIPT = """set -e
test "$(cat {shown}/file)" = "as it was"
! touch {shown}/new 2>/dev/null
cp {shown}/file /mnt/written/copy
for disk in /dev/vda /dev/nvme0n1; do
    test "$(head -c 9 $disk)" = "as it was"
    printf 'as it is!' | dd of=$disk conv=notrunc,fsync 2>/dev/null
    test "$(head -c 9 $disk)" = "as it is!"
done
test "$(wget -q -O- http://10.0.2.2:{port}/file)" = "as it was"
test -c /dev/sev
echo all is well"""
USERLAND = """set -e
test "$(pwd)" = "{here}"
! test -e {file}
test "$(readlink /proc/$$/exe)" = "$(readlink -f /bin/sh)"
ls --version | grep -q coreutils
python3 -c 'open("{file}", "w").write(str(6 * 7))'
echo it says $(cat {file})"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def _served(directory: Path) -> Iterator[int]:
    """The port on which this machine serves the files of a directory, to itself only."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(directory))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


def _devices(kernel: tuple[str, ...]) -> str | None:
    with scratch() as name:
        top = Path(name)
        shown, written, lost, kept = (top / each for each in ("shown", "written", "lost", "kept"))
        for directory in (shown, written):
            directory.mkdir()
        (shown / "file").write_bytes(SHOWN)
        for disk in (lost, kept):
            disk.write_bytes(SHOWN + bytes(DISK_SIZE - len(SHOWN)))
        with _served(shown) as port:
            problem = Boot("", (*kernel, "--mem", "2G", "--share", str(shown), "--share", f"{written}:/mnt/written:rw",
                                "--disk", str(lost), "--disk", f"{kept}:nvme:rw", "--net", "--",
                                SCRIPT.format(shown=shown, port=port)), says="all is well").check()
        if problem:
            return problem
        ends = {"copy": (written / "copy", SHOWN), "disk": (lost, SHOWN), "disk with :rw": (kept, CHANGED)}
        return next((f"the {what} holds something else" for what, (path, wanted) in ends.items()
                     if path.read_bytes()[:len(wanted)] != wanted), None)


def _userland(kernel: tuple[str, ...]) -> str | None:
    with scratch() as name:
        file = Path("/var/lib", Path(name).name)  # only in the guest
        script = USERLAND.format(here=Path.cwd(), file=file)
        problem = Boot("", (*kernel, "--mem", "2G", "--root", "/", "--", script), says="it says 42").check()
        return problem or (f"{file} is here" if file.exists() else None)


def _started_below_tmp() -> str | None:
    with scratch() as name:
        status, text, told = output([PROGRAM, "boot", "--mem", "2G", "--root", "/", "--", "pwd"], cwd=Path(name),
                                    timeout=TAKES_AT_MOST)
    if (status, text) != (OK, "/\n"):
        return f"status {status}, in {text.strip()}: {last_line(told)}"
    return None if f"--share {name}" in told else "no warning"


# What a kernel without the driver says
WITHOUT_9P = Boot("a kernel that cannot mount it",
                  ("--mem", "2G", "--append", "initcall_blacklist=p9_virtio_init", "--share", "/usr", "--", "true"),
                  SETUP_FAILED, "mounting share0 on /usr failed: .*has the kernel CONFIG_9P_FS")
KERNELS = {"reference kernel": (), "Debian's kernel": ("--kernel", "debian")}


def tests() -> Checks:
    return [*((f"brought/devices, {name}", partial(_devices, words)) for name, words in KERNELS.items()),
            *((f"brought/userland, {name}", partial(_userland, words)) for name, words in KERNELS.items()),
            ("brought/userland, started below /tmp", _started_below_tmp),
            (f"brought/{WITHOUT_9P.name}", WITHOUT_9P.check)]
