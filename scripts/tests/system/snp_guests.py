# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux runs as an SNP guest of Debian's QEMU and OVMF inside the emulated host."""
from functools import partial
from pathlib import Path

from rmpopt_cli.provision import selftests
from rmpopt_cli.provision.cache import Cache
from rmpopt_cli.snp_guest.guest import CONSOLE
from .command import Checks, rmpopt, scratch

ACTIVE = "Memory Encryption Features active: AMD SEV SEV-ES SEV-SNP"
STATUS = 7
COMMAND = f"dmesg | grep -o '{ACTIVE}'; nproc; printf '\\001'; exit {STATUS}"


def _boots(cpus: int, *host: str) -> str | None:
    with scratch() as report:
        options = " ".join(("--watch-fatal", "--report", report, *host))
        done = rmpopt("guest", "boot", "--smp", str(cpus), f"--host={options}", "--", COMMAND)
        console = Path(report, CONSOLE)
        if done.status != STATUS:
            return f"status {done.status}: {done.told.splitlines()[-1:]}"
        if done.text != f"{ACTIVE}\n{cpus}\n\001":
            return f"output: {done.text!r}"
        if "Kernel and plugin agree" not in done.told:
            return "kernel and plugin do not agree"
        return None if console.is_file() and console.read_bytes() else "no console in the report"


def _same_again() -> str | None:
    """Guests of all kinds, run twice with one seed."""
    program = selftests.ensure(Cache()) / "sev_smoke_test"
    words = ("boot", "--seed", "7", "--mem", "2G", "--watch-fatal", "--file", program)
    with scratch() as first:
        command = ("--", "/root/sev_smoke_test")
        return (rmpopt(*words, "--report", first, *command).failure or
                rmpopt(*words, "--same-as", first, *command).failure)


def tests() -> Checks:
    return [("snp guests/twice the same", _same_again),
            ("snp guests/1 CPU", partial(_boots, 1)),
            ("snp guests/2 CPUs, a host thread for each", partial(_boots, 2, "--thread multi"))]
