# SPDX-License-Identifier: GPL-2.0-or-later
"""The standard experiments and their scripts for the guest.

An experiment boots the same machine in each of its settings and measures the same phases in each. A new
experiment is a row in EXPERIMENTS.
"""
from dataclasses import dataclass

from ..snp_guest import guest

BOOT = "boot"  # the phase from the plugin's start to the first command in the guest
SETTLE = 45  # seconds of guest time: the kernel runs a pass 10 s after the last change and checks once more 20 s later
GUEST = "256K"  # a small guest
CHURN_SECONDS = 60  # how long a workload runs while guests start and end
LOADS = ("files", "memcpy", "pagecache", "forks", "network")
READY = "the SNP guest is there"
# What a whole SNP guest does until it is killed.
GUEST_COMMAND = f"echo {READY}; while :; do dd if=/dev/zero of=/tmp/file bs=1M count=64 2>/dev/null; sleep 1; done"

# The beginning of all scripts. These variables are set before it: seed (the number of the repetition), on (the option
# of rmpopt-mark that starts the measurement), and phases (those to measure). The words after "fail" must not contain
# quotes, because they pass through echo.
PRELUDE = """
fail() { echo "# FAIL $*"; exit 1; }
# Numbers of the 1 GiB regions with at least 64 MiB of RAM.
regions() {
    while IFS=' -' read -r first last _ what; do
        [ "$what" = "System RAM" ] && seq $(((0x$first + 0x3ffffff) >> 30)) $(((0x$last - 0x3ffffff) >> 30))
    done </proc/iomem | sort -nu
}
# some PART OF: a random PART/OF of the regions, rounded up: "1,5,6"
some() {
    regions | awk -v seed="$seed" -v part="$1" -v of="$2" '
        { gib[NR] = $1 }
        END { srand(seed * 7919); rand(); wanted = int((NR * part + of - 1) / of)
              for (i = 1; i <= NR; i++)
                  if (rand() * (NR - i + 1) < wanted) { printf "%s%s", comma, gib[i]; comma = ","; wanted-- } }'
}
needs_guests() {
    grep -q Y /sys/module/kvm_amd/parameters/sev_snp 2>/dev/null || fail the kernel offers no SNP guests
}
# background WORDS...: starts snp-guest, which runs until the machine ends, and returns once its guests are there
background() {
    needs_guests
    mkfifo /tmp/end
    sleep 1000000 >/tmp/end &
    /root/snp-guest "$@" </tmp/end >/tmp/guests 2>&1 &
    guests=$!
    until grep -q '^# placed\\|^# launched' /tmp/guests; do
        kill -0 $guests 2>/dev/null || fail "snp-guest $1 $2: $(tail -n 1 /tmp/guests)"
        sleep 1
    done
}
# place LIST: starts a small guest in each region of the list
place() { echo "# guests in $1"; background place GUEST "$1"; }
# Makes the free memory come from random places, others in each repetition.
age() {
    free=$(awk '/^MemFree/ { print $2 }' /proc/meminfo)
    /root/workload age $((free / 8 * 7 - seed % 8 * 65536))K >/dev/null || fail memory can not be aged
}
# start_snp_guest: boots Linux as an SNP guest, which works until end_snp_guest
start_snp_guest() {
    needs_guests
    UNPACK || fail the SNP guest has no room
    RUN >/tmp/snp-says 2>&1 &
    snp_guest=$!
    until grep -q 'READY' /tmp/snp-says; do
        kill -0 $snp_guest 2>/dev/null || fail the SNP guest did not come to its command
        sleep 1
    done
}
end_snp_guest() { kill -9 "$(pidof qemu-system-x86_64)"; wait $snp_guest; sleep SETTLE; }
wanted() { case " $phases " in *" $1 "*) ;; *) return 1 ;; esac; }
# phase NAME COMMAND...: measures the command
phase() {
    name=$1
    shift
    wanted "$name" || return 0
    rmpopt-mark "$name"
    rmpopt-mark $on
    "$@" >/tmp/log 2>&1 || fail "$name: $(tail -n 1 /tmp/log)"
    rmpopt-mark --off
    rmpopt-mark ''
}
seconds() { read -r now _ </proc/uptime; echo "${now%.*}"; }
# lasting SECONDS WORKLOAD: repeats the workload for that long
lasting() {
    until=$(($(seconds) + $1))
    while [ "$(seconds)" -lt $until ]; do /root/workload "$2" || return 1; done
}
# The boot is over.
rmpopt-mark --off
""".replace("GUEST", GUEST).replace("UNPACK", guest.UNPACK).replace("RUN", guest.RUN_UNPACKED) \
    .replace("READY", READY).replace("SETTLE", str(SETTLE))


@dataclass(frozen=True)
class Setting:
    """A state of the machine. Each repetition boots once in each setting; the table has a column for each."""
    name: str
    title: str
    setup: str = ":"  # in the guest, before anything is measured
    rmpopt: bool = True  # the CPU has RMPOPT, and the kernel uses it
    boot: bool = True  # measure the boot, too; false for a setting that takes effect only after it
    settled: bool = True  # every region without assigned pages must be optimised while the workloads run


@dataclass(frozen=True)
class Experiment:
    name: str
    title: str
    phases: tuple[str, ...]
    settings: tuple[Setting, ...]
    script: str  # measures the phases, after the setting's setup
    memory: str = "8G"
    rates: bool = True  # table of skip rates
    work: bool = False  # table of what RMPOPT itself did
    snp_guest: bool = False  # the script boots an SNP guest

    def setting(self, name: str) -> Setting:
        return next(s for s in self.settings if s.name == name)


def _all(loads: tuple[str, ...]) -> str:
    return "\n".join(f"phase {load} /root/workload {load}" for load in loads)


ON = Setting("on", "RMPOPT on, no guest")
NONE = Setting("none", "no guest")

EMPTY_FIRST, EMPTY_AGAIN = "empty, first time", "empty, second time"
AFTER_GUEST, FULL = "after a small guest", "full of private pages"
LATEST_FIRST_PASS = 60  # seconds of guest time
# Every kernel makes a pass after a guest's end. Some make none without it, and their first one late.
PASSES_SCRIPT = f"""
needs_guests
late=0
while rmpopt-mark --due && [ $late -lt {LATEST_FIRST_PASS} ]; do
    sleep 1
    late=$((late + 1))
done
[ $late = 0 ] || sleep {SETTLE}
after_guest() {{
    rmpopt-mark "$1"
    /root/snp-guest hold {GUEST} 1 >/tmp/log 2>&1 || fail "$1: $(tail -n 1 /tmp/log)"
    sleep {SETTLE}
    rmpopt-mark ''
}}
rmpopt-mark '{EMPTY_AGAIN}'
sleep {SETTLE}
rmpopt-mark ''
after_guest '{AFTER_GUEST}'
free=$(awk '/^MemFree/ {{ print int(($2 - 262144) / 4) * 4 }}' /proc/meminfo)
background slow-exit ${{free}}K
after_guest '{FULL}'
"""

AROUND_LOADS = ("files", "memcpy")
AROUND = tuple(f"{load} {when}" for when in ("before", "beside", "after") for load in AROUND_LOADS)
AROUND_SCRIPT = "\n".join([*(f"phase '{name}' /root/workload {name.split()[0]}" for name in AROUND[:2]),
                           "start_snp_guest",
                           *(f"phase '{name}' /root/workload {name.split()[0]}" for name in AROUND[2:4]),
                           "end_snp_guest",
                           *(f"phase '{name}' /root/workload {name.split()[0]}" for name in AROUND[4:])])

EXPERIMENTS = (
    Experiment("passes", "what a pass costs: the RMP empty for the first and the second time, after a guest, and full",
               (EMPTY_FIRST, EMPTY_AGAIN, AFTER_GUEST, FULL), (ON,), PASSES_SCRIPT, memory="4G", rates=False,
               work=True),
    Experiment("spread", "a small guest in each region, against as many guests in one region", LOADS,
               (NONE, Setting("one region", "as many guests as there are regions, in one region",
                            "one=$(some 1 1000); list=$one\n"
                            "for _ in $(regions | tail -n +2); do list=$list,$one; done; place $list"),
                Setting("each region", "a guest in each region", "place $(some 1 1)")),
               _all(LOADS)),
    Experiment("churn", "guests come and go while a workload runs", ("files", "forks"),
               (NONE, Setting("seldom", "a guest of 2 MB lives for 2 s, every 30 s",
                            "needs_guests; while :; do /root/snp-guest hold 2M 2 >/dev/null; sleep 28; done &",
                            settled=False),
                Setting("often", "guests of 256 KB one after another",
                        "needs_guests; /root/snp-guest cycle 1000000 256K >/dev/null &", settled=False)),
               "\n".join(f"phase {load} lasting {CHURN_SECONDS} {load}" for load in ("files", "forks")), work=True),
    Experiment("snp-guest", "before, beside and after an SNP guest of 512 MB that boots Linux and works", AROUND, (ON,),
               AROUND_SCRIPT, snp_guest=True),
    Experiment("workloads", "what RMPOPT saves while work is done: off, on, with guests in some of the regions",
               (BOOT, *LOADS),
               (Setting("off", "RMPOPT off, SNP on", rmpopt=False), ON,
                Setting("1/8", "a guest in 1/8 of the regions", "place $(some 1 8)", boot=False),
                Setting("1/2", "a guest in 1/2 of the regions", "place $(some 1 2)", boot=False),
                Setting("all", "a guest in each region", "place $(some 1 1)", boot=False)),
               _all(LOADS)),
)


def script(experiment: Experiment, setting: Setting, phases: tuple[str, ...], seed: int, on: str) -> str:
    """The script that the guest runs."""
    words = [f"seed={seed} on='{on}' phases='{' '.join(phases)}'", PRELUDE, setting.setup, experiment.script]
    if experiment.rates:
        words[2:3] = ["rmpopt-mark ''", f"sleep {SETTLE}", setting.setup, f"age; sleep {SETTLE}"]
    return "\n".join(words) + "\n"
