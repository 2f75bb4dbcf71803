# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots of Linux through the command line, and their expected results."""
import re
import sys
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from rmpopt_cli.base.errors import GUEST_DIED, OK, QEMU_FAILED, TIMEOUT, USAGE, VERDICT
from rmpopt_cli.base.paths import BUILD, CHECKOUT
from rmpopt_cli.base.shell import last_line
from rmpopt_cli.provision import selftests
from rmpopt_cli.provision.cache import Cache
from .command import PROGRAMS, Checks, rmpopt, scratch

ANOTHER_PLUGIN = BUILD / "plugin" / "benchmarks" / "libnaive-count.so"
KVM_GUEST = ("--file", str(PROGRAMS / "kvm-guest"), "--", "/root/kvm-guest")
SNP_GUEST = ("--mem", "2G", "--file", str(PROGRAMS / "snp-guest"), "--", "/root/snp-guest")
WORKLOAD = str(PROGRAMS / "workload")
# SNP is shut down, and the kernel's table disappears.
UNBIND_CCP = "cd /sys/bus/pci/drivers/ccp; for device in 0*; do echo $device > unbind; done; sleep 1"
# Linux lets the process fault for ever.
STORE_TO_THE_RMP = ("page=$(dmesg | sed -n 's/.*RMP segment 0 physical address .\\(0x[0-9a-f]*\\).*/\\1/p'); "
                    "timeout -s KILL 1 busybox devmem $page 32 0; true")
# One core's RMPOPT_BASE is such that it can't optimise the first region.
LOSS = ("--kernel", "variants", "--append", "rmpopt.mistake=unequal-bases")
# Each change makes Linux wait until the IOMMU has stored that it is done.
IOMMU_COMMANDS = ("for type in identity DMA; do for group in /sys/kernel/iommu_groups/[02]; do "
                  "echo $type > $group/type || exit 1; done; done; dmesg")
KVM_GUEST_STOPPED = r"ok \d+ assigned_page\\n"  # as it appears in JSON; not skipped
KVM_GUEST_SKIPPED = "assigned_page # SKIP SNP is not active"


@dataclass(frozen=True)
class Boot:
    """A boot of Linux through the command line, and its expected result."""
    name: str
    words: tuple[str, ...] = ()
    status: int = OK
    says: str = ""  # expression that stdout or stderr must match
    never: str = ""  # expression that neither must match
    has_table: bool | None = None  # whether the kernel shows its rmpopt-table
    starts: int = 1
    plugin: dict[str, object] = field(default_factory=dict)  # values that the plugin's report must have

    def check(self) -> str | None:
        done = rmpopt("boot", "--json", *self.words)
        problem = self._problem(done.status, done.json(), done.text + done.told)
        if problem:
            sys.stderr.write(done.told)
        return problem

    def _problem(self, status: int, result: dict, text: str) -> str | None:
        if status != self.status:
            return f"status {status} instead of {self.status}: {_first_failure(result) or last_line(text)}"
        if self.says and not re.search(self.says, text):
            return f"nothing about '{self.says}', but: {last_line(text)}"
        found = self.never and re.search(self.never, text)
        if found:
            return f"'{found[0]}' is in the output"
        if self.has_table is not None and bool(result["tables"]["kernel"]) != self.has_table:
            return "the kernel shows no rmpopt-table" if self.has_table else "the kernel shows an rmpopt-table"
        if status == OK and result["starts"] != self.starts:
            return f"{result['starts']} kernels instead of {self.starts}"
        differing = {path: _value(result["plugin"], path) for path, wanted in self.plugin.items()
                     if _value(result["plugin"], path) != wanted}
        return f"the plugin reports {differing}" if differing else None


def _first_failure(result: dict) -> str:
    """The first failed case of a command that prints KTAP."""
    lines = result.get("output", "").splitlines()
    return next((line for line in lines if line.startswith(("not ok", "Bail out!"))), "")


def _value(report: object, path: str) -> object:
    for name in path.split("."):
        report = report.get(name) if isinstance(report, dict) else None
    return report


LINUX = (
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
    Boot("a kernel whose first pass comes late", ("--kernel", "variants", "--append", "rmpopt.mistake=merged-flow"),
         plugin={"watch.pass_count": 1}, has_table=False),
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
    Boot("code changes while other CPUs execute it", ("--thread", "multi", "--watch", "off", "--file", WORKLOAD, "--",
                                                      "/root/workload", "patches", "4000"), OK, "patches: processes 4"),
    Boot("KVM guest without SNP, stock QEMU", ("--no-plugin", "--mem", "2G", *KVM_GUEST), OK, KVM_GUEST_SKIPPED),
    Boot("SNP guests", SNP_GUEST, OK, "ok 1 lifecycle", "# SKIP"),
    Boot("SNP guests, Debian's kernel", ("--kernel", "debian", *SNP_GUEST), OK, "ok 1 lifecycle", "# SKIP"),
    Boot("SNP guests, no RMP", ("--rmp", "none", *SNP_GUEST), OK, "ok 1 lifecycle # SKIP there is no .dev.sev"),
    Boot("a failure from the start", ("--inject", "psp:SNP_INIT_EX:0x3", "--mem", "2G"), VERDICT,
         "SNP_INIT_EX failed rc -5, error 0x3"),
    Boot("a kernel that leaves memory alone", ("--time", "virtual", "--append", "mem=2G", "--watch-fatal", "--",
                                                "sleep 70"), OK, '"unmapped": \\[\\s*2,', "lost-optimisation"),
    Boot("a loss that a short boot can't show", (*LOSS, "--time", "virtual", "--watch-fatal", "--", "true"), VERDICT,
         "lost-optimisation: the region at 0 GiB has no assigned pages", "perhaps"),
    Boot("the same, without anybody who waits", (*LOSS, "--", "true"), OK,
         "lost-optimisation, perhaps: looked for only .* s of 30 s: the region at 0 GiB .* on CPUs 2-3"),
    Boot("a command that reads stdin", ("--mem", "2G", "--timeout", "60", "--", "cat; echo at its end"), OK,
         "at its end"),
    Boot("a table that was not there at the end", ("--mem", "2G", "--", UNBIND_CCP), OK, '"lost": true',
         "<- differ|disagree"),
    Boot("a store through /dev/mem", ("--mem", "2G", "--", STORE_TO_THE_RMP), OK,
         "store of the host to page 0x[0-9a-f]+, which is assigned"),
    Boot("the IOMMU writes its own buffers", ("--mem", "2G", "--", IOMMU_COMMANDS), OK,
         never="Completion-Wait loop timed out"),
    Boot("a hint for a word of the command line", ("--mem", "2G", "--append", "nosmt"), VERDICT,
         "not all CPUs online.*leave 'nosmt' out"),
    Boot("SNP required, but KVM does not offer it",
         ("--mem", "2G", "--append", "kvm_amd.sev_snp=0", "--require", "snp", "--", "true"), VERDICT,
         "required, but missing: SNP .the guest did not show: KVM offers SNP"),
    Boot("RMPOPT required, and the kernel's log is empty", ("--mem", "2G", "--require", "snp,rmpopt", "--",
                                                           "dmesg -c >/dev/null")),
    Boot("RMPOPT required, its first pass comes late",
         ("--kernel", "variants", "--append", "rmpopt.mistake=merged-flow", "--require", "snp,rmpopt", "--", "true"),
         plugin={"watch.pass_count": 1}),
    Boot("status of a command", ("--mem", "2G", "--", "echo from the guest; exit 42"), 42, "from the guest"),
)

BAD_INPUT = (
    Boot("kernel that is none", ("--kernel", "/bin/sh"), USAGE, "is an ELF file"),
    Boot("kernel missing", ("--kernel", "/nonexistent"), USAGE, "neither a file nor a name"),
    Boot("initrd missing", ("--initrd", "/nonexistent"), USAGE, "initrd /nonexistent: No such file"),
    Boot("file missing", ("--file", "/nonexistent"), USAGE, "file /nonexistent: No such file"),
    Boot("files of the same name", ("--file", "/bin/sh", "--file", "/usr/bin/sh"), USAGE, "two files are named sh"),
    Boot("memory too small for Linux", ("--mem", "16M"), USAGE, "too small"),
    Boot("size that is none", ("--mem", "lots"), USAGE, "--mem lots"),
    Boot("CPUs that can't be arranged", ("--smp", "3,cores=2"), USAGE, "3 CPUs can't be divided by cores 2"),
    Boot("persona unknown", ("--persona", "rome"), USAGE, "invalid choice: 'rome'"),
    Boot("policy unknown", ("--policy", "no-such=thing"), USAGE, "no policy 'no-such'.*oow"),
    Boot("policy with a value that it can't have", ("--policy", "oow=ud"), USAGE, "oow can't be 'ud': give cf0 or gp"),
    Boot("QEMU missing", ("--qemu", "/nonexistent"), USAGE, "no such program"),
    Boot("QEMU option unknown", ("--qemu-opts=-no-such-option",), QEMU_FAILED, "no-such-option"),
    Boot("quotes open in --qemu-opts", ("--qemu-opts", "'"), USAGE, "check the quotes"),
    Boot("report directory not possible", ("--report", "/dev/null/x"), USAGE, "--report"),
    Boot("guest that hangs", ("--mem", "2G", "--timeout", "12", "--", "sleep 1000"), TIMEOUT,
         "still running after 12 s"),
    Boot("guest that powers off", ("--mem", "2G", "--", "poweroff -f"), GUEST_DIED, "before its work was done",
         "<- differ"),
    Boot("guest that panics", ("--mem", "2G", "--", "echo c > /proc/sysrq-trigger"), GUEST_DIED, "panicked: sysrq",
         "<- differ"),
    Boot("guest that resets at once", ("--mem", "2G", "--", "echo b > /proc/sysrq-trigger"), GUEST_DIED,
         "before its work was done", "<- differ"),
    Boot("NUMA", ("--qemu-opts=-numa node",), USAGE, "NUMA is not offered"),
    Boot("more memory than a kernel can touch here", ("--mem", "500T"), USAGE, "its kernel alone will touch"),
    Boot("injection of an unknown command", ("--inject", "psp:SNP_NONE:1"), QEMU_FAILED, "no command of firmware"),
    Boot("injection that is none", ("--inject", "psp"), USAGE, "--inject psp: give"),
    Boot("userland that is none", ("--root", "/proc"), USAGE, "no bin/sh in it"),
    Boot("directory missing", ("--share", "/nonexistent:rw"), USAGE, "--share /nonexistent: no such directory"),
    Boot("disk missing", ("--disk", "/nonexistent:nvme"), USAGE, "--disk /nonexistent: No such file"),
    Boot("files of the host in a seeded run", ("--seed", "1", "--net"), USAGE, "--seed with --root"),
    Boot("no tree to build", ("--build",), USAGE, "--build needs the tree"),
    Boot("tree without a kernel", ("--kernel", str(CHECKOUT)), USAGE, "no arch/x86/boot/bzImage in it"),
    Boot("reboot that nobody expected", ("--mem", "2G", "--reboots", "1", "--", "reboot -f"), GUEST_DIED,
         "started anew more than 1 times"),
    Boot("negative number of reboots", ("--reboots", "-1"), USAGE, "--reboots -1"),
    Boot("triple fault", ("--mem", "2G", "--append", "reboot=triple", "--", "reboot -f"), GUEST_DIED,
         "before its work was done"),
)

# SNP on a host is shut down and initialised again; guest-tests/linux/lifecycle.sh is the guest's part.
AGAIN = "msr.allow_writes=on kvm.enable_virt_at_load=0"  # to initialise SNP again with everything built in
X86_SHUTDOWN = ("--policy", "x86-snp-shutdown=on")
UP = {"psp.state": "init", "psp.snp_state": "init", "snp_cpus": "0-3", "rmpopt_cpus": "0-3", "counters.rmp_faults": 0}
# The state that a crashed kernel leaves: firmware is not in use, but SNP_EN and with it RMPOPT_BASE stay set.
CRASHED = {**UP, "psp.state": "uninit", "psp.snp_state": "uninit"}


def _lifecycle(name: str, part: str, append: str = "", *words: str, starts: int = 1,
               plugin: dict[str, object] = UP) -> Boot:
    files = (CHECKOUT / "guest-tests" / "linux" / "lifecycle.sh", PROGRAMS / "snp-lifecycle")
    return Boot(name, (*words, "--append", append, "--reboots", str(starts - 1),
                       *(word for path in files for word in ("--file", str(path))),
                       "--", f"sh /root/lifecycle.sh {part}"), starts=starts, plugin=plugin)


LIFECYCLE = (
    _lifecycle("legacy shutdown and SNP_INIT_EX, three times", "reload", AGAIN),
    _lifecycle("full shutdown and SNP_INIT_EX, three times", "reload", f"{AGAIN} rmpopt.x86_shutdown", *X86_SHUTDOWN),
    _lifecycle("modules unloaded and loaded, psp_init_on_probe=0", "modules", "", "--kernel", "debian",
               plugin={**UP, "rmpopt_cpus": ""}),
    _lifecycle("psp_init_on_probe=0", "deferred", "ccp.psp_init_on_probe=0"),
    _lifecycle("reboot, then reset", "reboot", starts=3),
)
# These need an image of the kernel in the guest.
SECOND_KERNEL = (
    _lifecycle("kexec", "kexec", f"{AGAIN} retain_initrd", starts=2),
    _lifecycle("kexec, full shutdown", "kexec", f"{AGAIN} retain_initrd rmpopt.x86_shutdown", *X86_SHUTDOWN, starts=2),
    _lifecycle("panic and kdump", "panic", "retain_initrd crashkernel=256M", "--mem", "3G", starts=2, plugin=CRASHED),
    _lifecycle("panic and kdump, full shutdown", "panic", "retain_initrd crashkernel=256M rmpopt.x86_shutdown",
               *X86_SHUTDOWN, "--mem", "3G", starts=2, plugin={**CRASHED, "snp_cpus": "", "rmpopt_cpus": ""}),
)


SELFTESTS = (
    ("sev_init2_tests",),
    # Guests of all three kinds run.
    ("sev_smoke_test",),
    ("sev_smoke_test", "--thread", "multi"),
    ("sev_smoke_test", "--time", "virtual"),
)


def reference_image() -> Path:
    """The image of the kernel that "boot" uses by default."""
    return Path(rmpopt("kernel", "build").text.strip())


def _with_second_kernel(boot: Boot) -> str | None:
    return replace(boot, words=("--file", str(reference_image()), *boot.words)).check()


def _selftest(name: str, *words: str) -> str | None:
    """Runs one of the kernel's own tests, which has another exit status if it must skip."""
    program = selftests.ensure(Cache()) / name
    all_words = ("--mem", "2G", *words, "--file", str(program), "--", f"/root/{name}")
    return Boot(name, all_words, OK, "Random seed", r"(?i)\bskip").check()


def _beside_another_plugin() -> str | None:
    """QEMU must pass all code to the other plugin, even code that does not concern ours."""
    with scratch() as report:
        words = ("--mem", "2G", "--report", report, f"--qemu-opts=-plugin {ANOTHER_PLUGIN}")
        problem = Boot("", words).check()
        told = "all code is translated for plugins" in Path(report, "plugin.log").read_text()
    return problem or (None if told else "code is kept from the other plugin")


def tests() -> Checks:
    return [*((f"linux/{boot.name}", boot.check) for boot in LINUX),
            ("linux/beside another plugin", _beside_another_plugin),
            *((f"linux/{' '.join(test)}", partial(_selftest, *test)) for test in SELFTESTS),
            *((f"lifecycle/{boot.name}", boot.check) for boot in LIFECYCLE),
            *((f"lifecycle/{boot.name}", partial(_with_second_kernel, boot)) for boot in SECOND_KERNEL),
            *((f"bad-input/{boot.name}", boot.check) for boot in BAD_INPUT)]
