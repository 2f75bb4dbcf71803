# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux runs as an SNP guest of Debian's QEMU inside the emulated host, started by OVMF or by our own firmware, and
attests what it is."""
import base64
import json
import shlex
from functools import partial
from pathlib import Path

from rmpopt_cli.base.errors import VERDICT
from rmpopt_cli.guest.initramfs import busybox
from rmpopt_cli.provision import given_kernel, selftests, snp_userland
from rmpopt_cli.provision.cache import Cache
from rmpopt_cli.guest.workspace import GUEST_CONSOLE, LEFT_BY_GUEST
from rmpopt_cli.snp_guest import firmware
from rmpopt_cli.snp_guest.guest import INITRD, MOUNT, SAYS, SMALLEST_MEMORY, SnpGuest
from .command import PROGRAMS, Checks, report_of, rmpopt, scratch

ACTIVE = "Memory Encryption Features active: AMD SEV SEV-ES SEV-SNP"
STATUS = 7
EVENTS = 100_000  # fewer cannot be all of a boot
COMMAND = f"dmesg | grep -o '{ACTIVE}'; nproc; printf '\\001'; exit {STATUS}"

# Two reports, each on other data, and the certificates that came with the second.
ASK = "for data in A B; do printf %064d 0 | tr 0 $data >inblob; base64 -w 0 outblob; echo; done"
GET = f"{ASK}; base64 -w 0 auxblob; echo"
REPORTS = f"mkdir /sys/kernel/config/tsm/report/r && cd /sys/kernel/config/tsm/report/r && {GET}"
# Root key, fields, VMPL, SVN, TCB: twice the same key, one that depends on the launch digest, one of another root, one
# that the guest may not have.
KEYS = ("0 0 0 0 0", "0 0 0 0 0", "0 8 0 0 0", "1 0 0 0 0", "0 0 0 1 0")


def _boots(cpus: int, boots_by: str, *host: str) -> str | None:
    with scratch() as report:
        options = " ".join(("--watch-fatal", "--report", report, *host))
        words = ("--smp", str(cpus), "--firmware", boots_by, f"--host={options}")
        done = rmpopt("guest", "boot", *words, "--", COMMAND)
        console = Path(report, GUEST_CONSOLE)
        if done.status != STATUS:
            return f"status {done.status}: {done.told.splitlines()[-1:]}"
        if done.text != f"{ACTIVE}\n{cpus}\n\001":
            return f"output: {done.text!r}"
        if "Kernel and plugin agree" not in done.told:
            return "kernel and plugin do not agree"
        if not console.is_file() or not console.read_bytes():
            return "no console in the report"
        result = json.loads(Path(report, "result.json").read_text())
        stages, total = result["guest_stages"], result["seconds"]["total"]
        return None if stages and min(stages.values()) >= 0 and total / 2 < sum(stages.values()) < total + 1 else \
            f"stages: {stages}, in all {total} s"


# Three guests at once: an SNP guest that is killed when its kernel speaks, one that goes on, and a plain one. While the
# latter two run, each CPU but the first goes offline and returns, and NMIs interrupt the CPUs.
BESIDE_OTHERS = """cd {mount} || exit
{snp} >killed.out 2>killed.err </dev/null & killed=$!
{snp_too} >snp.out 2>snp.err </dev/null & snp=$!
{plain} >plain.out 2>plain.err </dev/null & plain=$!
until [ -s killed.log ]; do kill -0 $killed || exit; sleep 0.1; done
kill -9 $killed
echo 1 >/proc/sys/kernel/sysrq
for cpu in /sys/devices/system/cpu/cpu[1-9]*; do
	echo 0 >$cpu/online || exit
	for nmi in 1 2 3 4; do echo l >/proc/sysrq-trigger; sleep 0.1; done
	echo 1 >$cpu/online || exit
done
wait $snp && wait $plain && cat snp.out plain.out killed.out"""


def _beside_others() -> str | None:
    cache = Cache()
    guest = SnpGuest(memory=SMALLEST_MEMORY, command=f"dmesg | grep -o '{ACTIVE}' || echo plain")
    root = snp_userland.ensure(cache, busybox())

    def qemu(name: str, encrypted: bool = True) -> str:
        words = [word.replace(GUEST_CONSOLE, f"{name}.log").replace(SAYS, f"{name}.status")
                 for word in guest.qemu_command()]
        if not encrypted:
            words = [word.replace("confidential-guest-support=sev0,", "") for word in words
                     if not word.startswith("sev-snp-guest,")]
            del words[words.index("-bios") - 1]  # its -object
        return shlex.join(words)

    with scratch() as files, scratch() as report:
        guest.write_files(Path(files), given_kernel.find(cache, guest.kernel))
        script = BESIDE_OTHERS.format(mount=MOUNT, snp=qemu("killed"), snp_too=qemu("snp"), plain=qemu("plain", False))
        done = rmpopt("boot", "--root", root, "--share", f"{files}:{MOUNT}:rw", "--watch-fatal", "--report", report,
                      "--", script)
        if done.failure:
            return done.failure
        if done.text != f"{ACTIVE}\nplain\n":
            return f"output: {done.text!r}"
        if "NMI" not in report_of(Path(report))["encrypted_guests"]["exits"]:
            return "no NMI ended the SNP guest"
        return None if "Kernel and plugin agree" in done.told else "kernel and plugin do not agree"


def _same_again() -> str | None:
    """Guests of all kinds, run twice with one seed."""
    program = selftests.ensure(Cache()) / "sev_smoke_test"
    words = ("boot", "--seed", "7", "--mem", "2G", "--watch-fatal", "--file", program)
    with scratch() as first:
        command = ("--", "/root/sev_smoke_test")
        return (rmpopt(*words, "--report", first, *command).failure or
                rmpopt(*words, "--same-as", first, *command).failure)


def _boots_again() -> str | None:
    """A whole guest twice with one seed of the host."""
    with scratch() as first, scratch() as second:
        for report, more in ((first, ""), (second, f"--same-as {first}")):
            host = f"--host=--mem 2G --seed 7 --report {report} {more}"
            done = rmpopt("guest", "boot", "--smp", "2", "--memory", "256M", "--firmware", firmware.DIRECT, host,
                          "--", COMMAND)
            if done.status != STATUS or done.text != f"{ACTIVE}\n2\n\001":
                return f"status {done.status}: {done.told.splitlines()[-1:]}, output: {done.text!r}"
        for left in LEFT_BY_GUEST:
            content = Path(first, left).read_bytes()
            if not content or content != Path(second, left).read_bytes():
                return f"{left} is empty, or not the same"
        runs = [report_of(Path(each))["schedule"] for each in (first, second)]
    return None if runs[0] == runs[1] and runs[0]["events"] >= EVENTS else f"{runs}"


def _attests() -> str | None:
    """By openssl and by a computation of the launch digest, of which the model that made the report knows nothing."""
    ask_keys = "; ".join(f"/root/snp-key {words} 2>/dev/null || echo $?" for words in KEYS)
    booted = rmpopt("guest", "boot", "--smp", "2", "--certificates", "--file", PROGRAMS / "snp-key", "--",
                    f"{REPORTS}; {ask_keys}")
    measured = rmpopt("guest", "measure", "--smp", "2")
    told = booted.text.split()
    if booted.failure or measured.failure or len(told) != 3 + len(KEYS):
        return booted.failure or measured.failure or f"output: {booted.text!r}"
    first, second, blob, *keys = told
    if keys[0] != keys[1] or len({*keys}) != 4 or {len(key) for key in keys[:4]} != {64} or keys[4] != "1":
        return f"keys: {keys}"
    with scratch() as directory:
        certificates = Path(directory, "certificates")
        certificates.write_bytes(base64.b64decode(blob))
        words = ("--measurement", measured.text.strip())
        return (_verified(first, "41" * 64, Path(directory, "first"), *words) or
                _verified(second, "42" * 64, Path(directory, "second"), *words, "--certificates", certificates))


def _verified(report: str, data: str, path: Path, *words: str | Path) -> str | None:
    """As it is, but not with a flipped bit."""
    raw = bytearray(base64.b64decode(report))
    path.write_bytes(raw)
    words = ("guest", "verify", path, "--report-data", data, *words)
    if failure := rmpopt(*words).failure:
        return failure
    raw[0x90] ^= 1  # of the measurement
    path.write_bytes(raw)
    verdict = rmpopt(*words, "--json")
    failed = [step["step"] for step in verdict.json().get("steps", []) if not step["ok"]]
    if verdict.status != VERDICT or failed != ["signature", "measurement"]:
        return f"with a flipped bit: status {verdict.status}, failed {failed}"
    return None


def _attests_direct_boot() -> str | None:
    """Kernel, initrd and command line are part of the launch digest."""
    command = ("--", REPORTS)
    guest = ("--firmware", firmware.DIRECT, "--smp", "4", "--append", "loglevel=4")
    booted = rmpopt("guest", "boot", *guest, *command)
    same, other = (rmpopt("guest", "measure", *guest, *more, *command) for more in ((), ("--append", "loglevel=3")))
    if failure := booted.failure or same.failure or other.failure:
        return failure
    with scratch() as directory:
        report, path = booted.text.split()[0], Path(directory, "report")
        failure = _verified(report, "41" * 64, path, "--measurement", same.text.strip())
        path.write_bytes(base64.b64decode(report))
        verdict = rmpopt("guest", "verify", path, "--measurement", other.text.strip())
    return failure or (None if verdict.status == VERDICT else "another command line has the same digest")


# A host that exchanges the initrd once QEMU has measured it: QEMU maps the file, and serves the guest what it has then.
EXCHANGED = """cd {mount} || exit
cp {initrd} /tmp && mkfifo /tmp/monitor && exec 3<>/tmp/monitor && : >monitor.log
{qemu} <&3 >monitor.log 2>messages.log & qemu=$!
until grep -q '(qemu)' monitor.log; do kill -0 $qemu || exit; sleep 0.1; done
printf X | dd of=/tmp/{initrd} bs=1 seek=6 conv=notrunc 2>/dev/null
echo cont >&3
wait $qemu
cat {console}
dmesg | grep -o 'requested termination: .*'"""
REFUSED = "direct boot: the initrd is not the one that was measured\nrequested termination: 0xd:0x4\n"


def _refuses_an_exchanged_initrd() -> str | None:
    cache = Cache()
    guest = SnpGuest(memory=SMALLEST_MEMORY, firmware=firmware.DIRECT, command="echo not refused")
    root = snp_userland.ensure(cache, busybox())
    replaced = {INITRD: f"/tmp/{INITRD}", "stdio": "null"}
    qemu = [replaced.get(word, word) for word in guest.qemu_command()] + ["-S", "-monitor", "stdio"]
    with scratch() as files:
        guest.write_files(Path(files), given_kernel.find(cache, guest.kernel))
        firmware.write(cache, guest.firmware, Path(files))
        script = EXCHANGED.format(mount=MOUNT, initrd=INITRD, qemu=shlex.join(qemu), console=GUEST_CONSOLE)
        done = rmpopt("boot", "--root", root, "--share", f"{files}:{MOUNT}:rw", "--watch-fatal", "--", script)
        return done.failure or (None if done.text == REFUSED else f"console: {done.text!r}")


def tests() -> Checks:
    return [("snp guests/twice the same", _same_again),
            ("snp guests/booted twice the same", _boots_again),
            ("snp guests/beside others, one of them killed", _beside_others),
            ("snp guests/2 CPUs, a host thread for each", partial(_boots, 2, firmware.OVMF, "--thread multi")),
            ("snp guests/direct boot", partial(_boots, 1, firmware.DIRECT)),
            ("snp guests/direct boot, attestation, 4 CPUs", _attests_direct_boot),
            ("snp guests/direct boot, an exchanged initrd", _refuses_an_exchanged_initrd),
            ("snp guests/attestation", _attests)]
