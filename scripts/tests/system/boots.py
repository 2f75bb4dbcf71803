# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots of Linux through the command line, good ones and ones that must fail well."""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rmpopt_cli.base.errors import GUEST_DIED, OK, QEMU_FAILED, SETUP_FAILED, TIMEOUT, USAGE
from rmpopt_cli.base.paths import BUILD, PROGRAM
from rmpopt_cli.base.shell import environment, last_line, output
from rmpopt_cli.provision import selftests
from rmpopt_cli.provision.cache import Cache
from .lifecycle import lifecycle_tests
from .suites import Check, Checks

BOOT_TAKES_AT_MOST = 400
ANOTHER_PLUGIN = BUILD / "plugin" / "benchmarks" / "libnaive-count.so"
KVM_GUEST = ("--file", str(BUILD / "guest-tests" / "kvm-guest"), "--", "/root/kvm-guest")
SNP_GUEST = ("--mem", "2G", "--file", str(BUILD / "guest-tests" / "snp-guest"), "--", "/root/snp-guest")
KVM_GUEST_STOPPED = r"ok \d+ assigned_page\\n"  # in JSON: not skipped
KVM_GUEST_SKIPPED = "assigned_page # SKIP SNP is not active"


@dataclass(frozen=True)
class Boot:
    """A boot of Linux through the command line, and what must come of it."""
    name: str
    words: tuple[str, ...] = ()
    status: int = OK
    says: str = ""  # expression that stdout and stderr together must match
    never: str = ""  # expression that they must not match
    has_table: bool | None = None  # whether the kernel shows its rmpopt-table


BOOTS = (
    Boot("reference kernel", has_table=True),
    Boot("1 CPU", ("--smp", "1", "--mem", "2G"), has_table=True),
    Boot("2 CPUs", ("--smp", "2"), has_table=True),
    Boot("8 CPUs", ("--smp", "8"), has_table=True),
    Boot("16 GiB", ("--mem", "16G"), has_table=True),
    Boot("audited", ("--audit", "1000"), has_table=True),
    Boot("audited, measured", ("--audit", "1000", "--measure", "exact"), has_table=True),
    Boot("audited, TLBs modelled", ("--audit", "1000", "--measure", "exact+tlb"), has_table=True),
    Boot("not enforced", ("--enforce", "off"), has_table=True),
    Boot("enforced strictly", ("--enforce", "strict"), has_table=True),
    Boot("genoa: contiguous RMP, no RMPOPT", ("--persona", "genoa"), has_table=False),
    Boot("milan", ("--persona", "milan", "--mem", "2G"), has_table=False),
    Boot("turin", ("--persona", "turin"), has_table=False),
    Boot("venice with a contiguous RMP", ("--rmp", "contiguous"), has_table=False),
    Boot("no RMP at all", ("--rmp", "none", "--mem", "2G"), has_table=False),
    Boot("stock QEMU", ("--no-plugin", "--mem", "2G"), has_table=False),
    Boot("Debian's kernel, ccp and kvm_amd as modules", ("--kernel", "debian"), has_table=False),
    Boot("Debian's kernel, audited", ("--kernel", "debian", "--audit", "1000"), has_table=False),
    Boot("Debian's kernel, audited, measured", ("--kernel", "debian", "--audit", "1000", "--measure", "exact"),
         has_table=False),
    Boot("KVM guest without SNP", KVM_GUEST, OK, KVM_GUEST_STOPPED),
    Boot("KVM guest without SNP, a host thread for each CPU", ("--thread", "multi", *KVM_GUEST), OK,
         KVM_GUEST_STOPPED),
    Boot("KVM guest without SNP, stock QEMU", ("--no-plugin", "--mem", "2G", *KVM_GUEST), OK, KVM_GUEST_SKIPPED),
    Boot("SNP guests", SNP_GUEST, OK, "ok 1 lifecycle", "# SKIP"),
    Boot("SNP guests, Debian's kernel", ("--kernel", "debian", *SNP_GUEST), OK, "ok 1 lifecycle", "# SKIP"),
    Boot("SNP guests, no RMP", ("--rmp", "none", *SNP_GUEST), OK, "ok 1 lifecycle # SKIP there is no .dev.sev"),
    Boot("status of a command", ("--mem", "2G", "--", "echo from the guest; exit 42"), 42, "from the guest"),
)

BAD_INPUT = (
    Boot("kernel that is none", ("--kernel", "/bin/sh"), USAGE, "is an ELF file"),
    Boot("kernel missing", ("--kernel", "/nonexistent"), USAGE, "No such file"),
    Boot("initrd missing", ("--initrd", "/nonexistent"), USAGE, "initrd /nonexistent: No such file"),
    Boot("file missing", ("--file", "/nonexistent"), USAGE, "file /nonexistent: No such file"),
    Boot("files of the same name", ("--file", "/bin/sh", "--file", "/usr/bin/sh"), USAGE, "two files are named sh"),
    Boot("memory too small for Linux", ("--mem", "16M"), USAGE, "too small"),
    Boot("size that is none", ("--mem", "lots"), USAGE, "--mem lots"),
    Boot("persona unknown", ("--persona", "rome"), USAGE, "invalid choice: 'rome'"),
    Boot("policy unknown", ("--policy", "no-such=thing"), USAGE, "no policy 'no-such'.*oow"),
    Boot("policy with a value that it can't have", ("--policy", "oow=ud"), USAGE, "oow can't be 'ud': give cf0 or gp"),
    Boot("QEMU missing", ("--qemu", "/nonexistent"), USAGE, "no such program"),
    Boot("QEMU option unknown", ("--qemu-opts=-no-such-option",), QEMU_FAILED, "no-such-option"),
    Boot("quotes open in --qemu-opts", ("--qemu-opts", "'"), USAGE, "check the quotes"),
    Boot("report directory not possible", ("--report", "/dev/null/x"), USAGE, "--report"),
    Boot("guest that hangs", ("--mem", "2G", "--timeout", "12", "--", "sleep 1000"), TIMEOUT, "no end within 12 s"),
    Boot("guest that powers off", ("--mem", "2G", "--", "poweroff -f"), GUEST_DIED, "before its work was done"),
    Boot("reboot that nobody expected", ("--mem", "2G", "--reboots", "1", "--", "reboot -f"), GUEST_DIED,
         "started anew more than 1 times"),
    Boot("negative number of reboots", ("--reboots", "-1"), USAGE, "--reboots -1"),
    Boot("triple fault", ("--mem", "2G", "--append", "reboot=triple", "--", "reboot -f"), GUEST_DIED,
         "before its work was done"),
)


def _first_failure(result: dict) -> str:
    """The first failed case of a command that prints KTAP."""
    lines = result.get("output", "").splitlines()
    return next((line for line in lines if line.startswith(("not ok", "Bail out!"))), "")


def _boot_problem(boot: Boot, status: int, result: dict, text: str) -> str | None:
    if status != boot.status:
        return f"status {status} instead of {boot.status}: {_first_failure(result) or last_line(text)}"
    if boot.says and not re.search(boot.says, text):
        return f"nothing about '{boot.says}', but: {last_line(text)}"
    found = boot.never and re.search(boot.never, text)
    if found:
        return f"'{found[0]}' is in the output"
    if boot.has_table is not None and bool(result["tables"]["kernel"]) != boot.has_table:
        return "the kernel shows no rmpopt-table" if boot.has_table else "the kernel shows an rmpopt-table"
    return None


def _boot_check(boot: Boot) -> Check:
    def call() -> str | None:
        status, text, problems = output([PROGRAM, "boot", "--json", *boot.words], timeout=BOOT_TAKES_AT_MOST)
        try:
            result = json.loads(text)
        except ValueError:
            result = {"tables": {"kernel": None}}
        problem = _boot_problem(boot, status, result, text + problems)
        if problem:
            sys.stderr.write(problems)
        return problem
    return call


def _sev_init2_tests() -> str | None:
    """The kernel's own test; it ends with another status where it has to skip."""
    program = selftests.ensure(Cache()) / "sev_init2_tests"
    words = ("--mem", "2G", "--file", str(program), "--", "/root/sev_init2_tests")
    return _boot_check(Boot("sev_init2_tests", words, OK, "Random seed", r"(?i)\bskip"))()


def _beside_another_plugin() -> str | None:
    """QEMU must show that one all code, also what does not concern ours."""
    with tempfile.TemporaryDirectory() as report:
        words = ("--mem", "2G", "--report", report, f"--qemu-opts=-plugin {ANOTHER_PLUGIN}")
        problem = _boot_check(Boot("", words))()
        told = "all code is translated for plugins" in Path(report, "plugin.log").read_text()
    return problem or (None if told else "code is kept from the other plugin")


def linux_tests() -> Checks:
    checks = [(f"linux/{boot.name}", _boot_check(boot)) for boot in BOOTS]
    return [*checks, ("linux/beside another plugin", _beside_another_plugin), ("linux/sev_init2_tests", _sev_init2_tests), *lifecycle_tests(_reference_image)]


def bad_input_tests() -> Checks:
    checks = [(f"bad-input/{boot.name}", _boot_check(boot)) for boot in BAD_INPUT]
    return [*checks, ("bad-input/QEMU too old", _old_qemu), ("bad-input/QEMU without plugins", _plain_qemu),
            ("bad-input/QEMU killed", _killed_qemu), ("bad-input/cache not writable", _cache_not_writable),
            ("bad-input/kernel truncated", _truncated_kernel), ("bad-input/kernel panic", _panic)]


def _expect(words: list[str | Path], status: int, says: str, extra: dict[str, str] | None = None) -> str | None:
    """Runs the command line and wants a status and one line of error."""
    done = subprocess.run([str(PROGRAM), *map(str, words)], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=BOOT_TAKES_AT_MOST, env=environment(extra))
    errors = [line for line in done.stderr.splitlines() if line.startswith("rmpopt: error:")]
    if done.returncode != status:
        return f"status {done.returncode} instead of {status}: {last_line(done.stderr)}"
    if len(errors) != 1 or not re.search(says, errors[0]):
        return f"no single line about '{says}': {errors}"
    return None


def _with_fake_qemu(script: str, says: str) -> str | None:
    with tempfile.TemporaryDirectory() as scratch:
        fake = Path(scratch, "qemu")
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o755)
        return _expect(["boot", "--qemu", fake], USAGE, says)


def _old_qemu() -> str | None:
    return _with_fake_qemu("echo QEMU emulator version 7.2.0", "too old: 11.1 or newer")


def _plain_qemu() -> str | None:
    return _with_fake_qemu('[ "$1" = --version ] && echo QEMU emulator version 11.1.3 && exit\n'
                           "echo '-plugin: invalid option' >&2; exit 1", "without TCG plugins")


def _cache_not_writable() -> str | None:
    with tempfile.NamedTemporaryFile() as blocker:
        return _expect(["boot"], SETUP_FAILED, "not writable", {"RMPOPT_CACHE": blocker.name + "/cache"})


def _reference_image() -> Path:
    _, text, _ = output([PROGRAM, "kernel", "build"], timeout=BOOT_TAKES_AT_MOST)
    return Path(text.strip())


def _truncated_kernel() -> str | None:
    with tempfile.NamedTemporaryFile() as part:
        part.write(_reference_image().read_bytes()[:1 << 20])
        part.flush()
        return _expect(["boot", "--kernel", part.name], USAGE, "truncated")


def _panic() -> str | None:
    """An initrd without /init: the first process ends and the kernel panics."""
    with tempfile.NamedTemporaryFile() as initrd:
        initrd.write(b"\0" * 512)
        initrd.flush()
        return _expect(["boot", "--mem", "2G", "--initrd", initrd.name], GUEST_DIED, "panicked: Attempted to kill init")


def _killed_qemu() -> str | None:
    with tempfile.TemporaryDirectory() as report:
        words = [PROGRAM, "boot", "--mem", "2G", "--report", report, "--", "sleep 1000"]
        process = subprocess.Popen([str(w) for w in words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   stdin=subprocess.DEVNULL, text=True, env=environment())
        qemu = _wait_for_guest(process.pid, Path(report, "status.log"))
        if not qemu:
            process.kill()
            return "the guest did not start"
        os.kill(qemu, signal.SIGKILL)
        _, problems = process.communicate(timeout=60)
        if process.returncode != QEMU_FAILED or "QEMU was ended by SIGKILL" not in problems:
            return f"status {process.returncode}: {last_line(problems)}"
        return None if Path(report, "result.json").exists() else "no report was kept"


def _wait_for_guest(parent: int, status_log: Path) -> int:
    """Process id of QEMU once its guest has spoken; 0 when it does not."""
    for _ in range(1200):
        if status_log.exists() and b"begin output" in status_log.read_bytes():
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
            return int(children[0]) if children else 0
        time.sleep(0.1)
    return 0
