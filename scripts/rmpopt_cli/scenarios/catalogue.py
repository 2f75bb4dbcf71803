# SPDX-License-Identifier: GPL-2.0-or-later
"""The scenarios that a kernel is put through. A new scenario is a row in SCENARIOS."""
from dataclasses import dataclass

SKIPPED = 4  # exit status of a script that has to skip, as in the kernel's selftests
QUIET = 55  # seconds of guest time: a kernel's delay of 10 s, its second look, and the watch's bound

# To initialise SNP again while kvm_amd is built in: it wants VM_HSAVE_PA to be 0.
AGAIN = "msr.allow_writes=on kvm.enable_virt_at_load=0"
X86_SHUTDOWN = ("x86-snp-shutdown=on",)

# The beginning of all scripts. Reasons pass through echo and must not contain quotes.
PRELUDE = f"""
skip() {{ echo "# SKIP $*"; exit {SKIPPED}; }}
guest() {{ /root/snp-guest "$@" || exit 1; }}
background() {{ guest "$@" & pids="$pids $!"; }}
await() {{ for pid in $pids; do wait $pid || exit 1; done; }}
# Memory above 4 GiB holds pages that firmware never gives back. Guests whose pages went there would keep no region
# from being optimised: occupy it.
needs_guests() {{
    grep -q Y /sys/module/kvm_amd/parameters/sev_snp 2>/dev/null || skip the kernel offers no SNP guests
    awk '/Normal/ {{print $14 + 2 * $15}}' /proc/buddyinfo >/proc/sys/vm/nr_hugepages
    echo 131072 >/proc/sys/vm/min_free_kbytes  # and what is left is kept back
}}
cpus=/sys/devices/system/cpu
offline() {{ for n; do echo 0 >$cpus/cpu$n/online || skip CPU $n can not go offline; done; }}
online() {{ for n; do echo 1 >$cpus/cpu$n/online || exit 1; done; }}
table=/sys/kernel/debug/x86/rmpopt/rmpopt-table
psp=$(echo /sys/bus/pci/drivers/ccp/0000:*)
unbind_psp() {{
    [ -e "$psp" ] || skip the kernel has no ccp driver with a device
    echo "${{psp##*/}}" >/sys/bus/pci/drivers/ccp/unbind || exit 1
}}
lifecycle() {{
    [ -e /dev/cpu/0/msr ] || skip there is no /dev/cpu/0/msr to clear VM_HSAVE_PA with
    /root/snp-lifecycle "$@" || exit 1
}}
"""


@dataclass(frozen=True)
class Scenario:
    """One boot and what is done in it. Afterwards the watch must have no warning and no error, the kernel's log no
    complaint, and each region without assigned pages must be optimised on each online CPU."""
    name: str
    title: str
    script: str = ""
    smp: str = "4,cores=2,threads=2"
    memory: str = "3G"
    rmp: str = "auto"
    qemu_options: tuple[str, ...] = ()
    append: str = ""
    policies: tuple[str, ...] = ()
    guests: bool = False  # launches SNP guests
    files: tuple[str, ...] = ()  # more programs of guest-tests
    quiet: int = QUIET  # seconds to wait at the end
    bound: int = 30  # --watch-bound
    allowed: tuple[str, ...] = ()  # findings that are expected here
    rmpopt: bool = True  # skipped if the kernel does not use RMPOPT
    lacks: tuple[str, ...] = ()  # what --require can't ask for here
    complete: bool = True  # SNP is in use at the end, and all clean regions must be optimised then


SCENARIOS = (
    Scenario("boot", "boot, and nothing else"),
    Scenario("boot-1-cpu", "boot on a single CPU", smp="1"),
    Scenario("boot-maxcpus", "boot with maxcpus=1: SNP may stay off, but nothing may go wrong",
             append="maxcpus=1", rmpopt=False, lacks=("snp", "rmpopt"), complete=False),
    Scenario("boot-no-smt", "boot with the second thread of each core off", append="nosmt", rmpopt=False,
             lacks=("snp", "rmpopt"), complete=False),
    Scenario("boot-segments", "memory that takes more than one segment of the RMP", memory="68G"),
    Scenario("boot-sparse", "RAM from 1 TiB on, and no segments of the RMP below it but the first", "guest hold 2M 2",
             qemu_options=("-m", "3G,maxmem=1100G,slots=1"), guests=True),
    Scenario("boot-contiguous", "a contiguous RMP on a CPU with RMPOPT, which can't be used there", "guest hold 1M 2",
             rmp="contiguous", guests=True, rmpopt=False, lacks=("rmpopt",), complete=False),
    Scenario("guest", "a guest comes and goes", "guest hold 2M 5", guests=True),
    Scenario("guests-last-exit", "several guests, the last exit counts",
             "background hold 1M 4; background hold 1M 9; background hold 1M 13; await", guests=True),
    Scenario("guest-in-delay", "a guest starts before the pass for the one before",
             "guest hold 1M 2; sleep 5; guest hold 1M 20", guests=True),
    Scenario("guest-ends-in-pass", "guests end while a pass is due or runs",
             "guest hold 1M 2; for s in 9.9 9.99 10 10.01; do background hold 1M 1; sleep $s; done; await",
             guests=True),
    Scenario("guest-slow-exit", "a guest's memory takes long to be returned",
             "guest slow-exit 64M </dev/null", guests=True),
    Scenario("guests-last-exit-slow", "a guest's memory is being returned 10 s after another guest's end",
             "mkfifo /tmp/end; guest slow-exit 256M </tmp/end & pids=$!; exec 5>/tmp/end; sleep 15\n"
             "guest hold 1M 1; sleep 9.1; exec 5>&-; await", guests=True),
    Scenario("guests-many", "guests come and go all the time, while the table is read and CPUs come and go",
             "while sleep 0.3; do cat $table; done >/dev/null 2>&1 & reader=$!\n"
             "background cycle 12 512K\n"
             "for i in 1 2 3; do offline 3; sleep 0.2; online 3; sleep 0.2; offline 2 3; sleep 0.1; online 3 2; done\n"
             "await; kill $reader", guests=True),
    Scenario("firmware-late", "firmware is asked for something long after the last pass",
             "sleep 100; guest psp-latency 3", guests=True),
    Scenario("cpu-off-and-on", "a core goes offline and comes back between passes",
             "sleep 30; offline 2 3; sleep 20; online 2 3"),
    Scenario("cpu-off-in-pass", "CPUs go and come while passes run",
             "for i in 1 2 3 4 5 6; do offline 3 2; online 2 3; sleep 3.3; offline 1; sleep 3.4; online 1; sleep 3.3\n"
             "done"),
    Scenario("cpu-off-with-guest", "a core goes and comes while a guest lives, and while it ends",
             "background hold 1M 20; sleep 5; offline 2 3; sleep 3; online 2 3; sleep 11; offline 2 3\n"
             "await; sleep 5; online 2 3", guests=True),
    Scenario("second-thread-left", "only the second thread of a core stays online, guests end meanwhile",
             f"offline 2; sleep 2; guest hold 1M 2; sleep {QUIET}; online 2", guests=True),
    Scenario("smt-off-and-on", "SMT is switched off and on, with a guest in between",
             "echo off >$cpus/smt/control || skip SMT can not be switched off\n"
             f"sleep 2; guest hold 1M 2; sleep {QUIET}; echo on >$cpus/smt/control", guests=True),
    Scenario("table-readers", "two readers of the table while passes run",
             "[ -r $table ] || skip the kernel shows no rmpopt-table\n"
             "for r in 1 2; do while sleep 0.1; do cat $table; done >/dev/null & readers=\"$readers $!\"; done\n"
             "guest hold 1M 2; sleep 40; kill $readers", guests=True),
    Scenario("shut-down", "SNP is shut down, because the secure processor's driver is unbound, while a pass is due",
             "unbind_psp", lacks=("snp",), complete=False),
    Scenario("shut-down-fully", "the same, and firmware clears SNP_EN", "unbind_psp", policies=X86_SHUTDOWN,
             lacks=("snp",), complete=False),
    Scenario("initialise-again", "SNP is shut down and, after a while, initialised again",
             "sleep 25; lifecycle shut-down; sleep 15; lifecycle sev-init-again; sleep 45; guest hold 1M 1",
             append=AGAIN, guests=True, files=("snp-lifecycle",)),
    Scenario("initialise-again-fully", "the same, and firmware clears SNP_EN in between",
             "sleep 25; lifecycle shut-down; sleep 15; lifecycle sev-init; sleep 45; guest hold 1M 1",
             append=AGAIN, policies=X86_SHUTDOWN, guests=True, files=("snp-lifecycle",)),
    Scenario("initialise-again-at-once", "SNP is shut down and initialised again at once, twice",
             "lifecycle shut-down; lifecycle sev-init-again; guest hold 1M 1\n"
             "lifecycle shut-down; lifecycle sev-init-again; guest hold 1M 1",
             append=AGAIN, guests=True, files=("snp-lifecycle",)),
)
