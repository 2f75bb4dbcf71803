# SPDX-License-Identifier: GPL-2.0-or-later
"""Tools that start QEMU themselves get our machine. The tests for distributions run the real virtme-ng."""
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from rmpopt_cli.base.errors import OK, USAGE
from rmpopt_cli.base.paths import PROGRAM
from rmpopt_cli.base.shell import last_line, output
from .boots import reference_image
from .command import Checks, rmpopt, scratch

# As virtme-ng writes it, but for the userland: the kernel panics for want of one, and QEMU ends.
LINE = ("-name other -m 1G -object memory-backend-memfd,id=mem,size=1G,share=on -numa node,memdev=mem "
        "-machine q35,accel=kvm:tcg -cpu host -smp 2 -parallel none -net none -serial stdio -no-reboot").split()
APPEND = "console=ttyS0 panic=-1 root=/dev/none"
WANTED = ("2 CPUs", "kvm_amd: SEV-SNP enabled", "SEV-SNP: RMPOPT: pass over")
VNG = """#!/bin/sh
# Like virtme-ng: asks QEMU for its version, and starts it.
[ "$1 $2 $3" = "--disable-kvm --disable-microvm --qemu" ] || exit 99
qemu=$4
shift 4
$qemu --version | grep -q 'QEMU emulator version' || exit 98
$qemu "$@"
exit 3
"""


def _problem(status: int, wanted_status: int, text: str, told: str) -> str | None:
    if status != wanted_status:
        return f"status {status} instead of {wanted_status}: {last_line(told or text)}"
    missing = [words for words in WANTED if words not in text]
    if missing:
        return f"the guest did not say '{missing[0]}'"
    return None if "report: " in told and "executed" in told else f"nothing about RMPOPT, but: {last_line(told)}"


def _arguments() -> list[str]:
    return [*LINE, "-kernel", str(reference_image()), "-append", APPEND]


def _qemu() -> str | None:
    done = rmpopt("qemu", "--", *_arguments())
    return _problem(done.status, OK, done.text, done.told)


def _questions() -> str | None:
    done = rmpopt("qemu", "--", "-device", "help")
    return done.failure or (None if "rmpopt-psp" not in done.text and "nvme" in done.text else "no list of devices")


def _vng() -> str | None:
    with scratch() as name:
        program = Path(name, "vng")
        program.write_text(VNG)
        program.chmod(0o755)
        done = rmpopt("vng", "--persona", "venice", "--", *_arguments(),
                      extra_env={"PATH": f"{name}:{os.environ['PATH']}"})
        return _problem(done.status, 3, done.text, done.told)


def _killed() -> str | None:
    """QEMU ends with us, however we end."""
    with scratch() as name:
        program = Path(name, "vng")
        program.write_text(VNG)
        program.chmod(0o755)
        mark = f"marked-{Path(name).name}"
        process = subprocess.Popen([PROGRAM, "vng", "--", "-name", mark, "-S", "-display", "none"],
                                   env={**os.environ, "PATH": f"{name}:{os.environ['PATH']}"})
        started = _await(lambda: _is_running(mark))
        process.kill()
        process.wait()
        if not started:
            return "QEMU did not start"
        return None if _await(lambda: not _is_running(mark)) else "QEMU is left running"


def _is_running(mark: str) -> bool:
    return output(["pgrep", "-f", f"qemu-system-x86_64 .*-plugin .*-name {mark}"])[0] == OK


def _await(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 30
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def _no_vng() -> str | None:
    with scratch() as name:
        for program in ("python3", "sh", "dirname", "readlink"):
            Path(name, program).symlink_to(shutil.which(program) or "")
        done = rmpopt("vng", "--", "--run", extra_env={"PATH": name})
    return None if done.status == USAGE and "apt-get install virtme-ng" in done.told else last_line(done.told)


def tests() -> Checks:
    return [("other tools/qemu", _qemu), ("other tools/questions to QEMU", _questions), ("other tools/vng", _vng),
            ("other tools/killed", _killed), ("other tools/no vng", _no_vng)]
