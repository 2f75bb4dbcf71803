# SPDX-License-Identifier: GPL-2.0-or-later
"""What the standard experiments do: a table. A case is one boot; what it measures are its phases."""
from dataclasses import dataclass

WITHOUT_RMPOPT = "turin"  # the youngest persona whose CPUs have no RMPOPT; all else is the same
SETTLED = 15  # seconds of guest time: the kernel looks for regions to optimise 10 s after a guest's end

# For all scripts. on: what is measured from here on.
PRELUDE = f"""
die() {{ echo "$*" >&2; exit 1; }}
guest() {{ /root/snp-guest "$@" >/tmp/guest.log || die "snp-guest $*: $(cat /tmp/guest.log)"; }}
work() {{ rmpopt-mark "$1"; /root/workload "$@" || exit 1; rmpopt-mark ''; }}
# Regions that are RAM for the most part and optimised on some CPU.
table=/sys/kernel/debug/x86/rmpopt/rmpopt-table
optimised() {{ awk '/^Memory/ && !/none/ {{ sub(/GB:.*/, ""); print $NF }}' $table; }}
ram() {{
    awk -F '[- ]' '/System RAM/ {{ print $1, $2 }}' /proc/iomem | while read first last; do
        first=$((0x$first)) last=$((0x$last))
        for gb in $(seq $((first >> 30)) $((last >> 30))); do
            from=$((gb << 30)) to=$(((gb + 1) << 30))
            [ $from -lt $first ] && from=$first
            [ $to -gt $last ] && to=$last
            [ $((to - from)) -ge $((1 << 29)) ] && echo $gb
        done
    done
}}
candidates() {{ ram >/tmp/ram; optimised | grep -xFf /tmp/ram; }}
# $1 of the candidates, evenly spread
some() {{ candidates | awk -v k="$1" '{{ all[n++] = $1 }} END {{ if (k > n) k = n
    for (i = 0; i < k; i++) printf "%s%s", i ? "," : "", all[int(i * n / k)] }}'; }}
# A small guest in each of these regions, until the end
place() {{
    mkfifo /tmp/hold; sleep 1000000 >/tmp/hold &
    /root/snp-guest place 1M "$1" </tmp/hold >/tmp/placed 2>&1 &
    until grep -q placed /tmp/placed; do
        kill -0 $! 2>/dev/null || die "no guests in regions $1: $(tail -n 1 /tmp/placed)"
        sleep 0.2
    done
}}
# A guest comes and goes; then the kernel looks at all regions
look_again() {{ guest launch 1M; sleep {SETTLED}; }}
"""
WORKLOADS = ("files", "memcpy", "pagecache", "forks", "network")


def _work(names: tuple[str, ...]) -> str:
    return "\n".join(f"work {name}" for name in names)


def _place(parts: str) -> str:
    """Guests in so many of the regions: an expression of n."""
    return f"n=$(candidates | wc -l); place $(some $(({parts})))\n"


@dataclass(frozen=True)
class Case:
    """`prepare` is not measured, unless the experiment measures from the start."""
    name: str
    prepare: str = ""
    script: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Experiment:
    name: str
    title: str
    cases: tuple[Case, ...]
    memory: str = "10G"
    from_start: bool = False  # measured from the kernel's first instruction on
    first_phase: str = ""  # its name, if so
    work_only: bool = False  # the table is about RMPOPT's own work, not about skipped checks


EXPERIMENTS = (
    Experiment(
        "passes", "what RMPOPT costs: empty RMP for the first time, for the second time, pages of guests everywhere",
        (Case("all", script=f"sleep {SETTLED}\nrmpopt-mark 'empty second time'\nlook_again\nrmpopt-mark ''\n"
                            + _place("n") + f"sleep {SETTLED}\nrmpopt-mark 'guests everywhere'\nlook_again\n"
                                            "rmpopt-mark ''",
              options=("--time", "virtual")),),
        from_start=True, first_phase="empty first time", work_only=True),
    Experiment(
        "spread", "one small guest in each region, or as many in one region",
        (Case("no guests", script=_work(("memcpy", "pagecache", "forks"))),
         Case("one region", prepare="n=$(candidates | wc -l); one=$(some 1)\n"
                                    "place $(seq $n | awk -v r=$one '{ printf \"%s%s\", NR > 1 ? \",\" : \"\", r }')\n",
              script=_work(("memcpy", "pagecache", "forks"))),
         Case("each region", prepare=_place("n"), script=_work(("memcpy", "pagecache", "forks"))))),
    Experiment(
        "churn", "guests come and go while the host works",
        (Case("no guests", script=_work(("files", "forks"))),
         Case("guest after guest", prepare="(while :; do /root/snp-guest launch 1M >/dev/null 2>&1 || exit; done) &\n",
              script=_work(("files", "forks"))))),
    Experiment(
        "workloads", "kinds of work without RMPOPT, with it, and with guests in a part of the regions",
        (Case("off", script=_work(WORKLOADS), options=("--persona", WITHOUT_RMPOPT)),
         Case("on", script=_work(WORKLOADS)),
         Case("guests in 1/8", prepare=_place("(n + 7) / 8"), script=_work(WORKLOADS)),
         Case("guests in 1/2", prepare=_place("(n + 1) / 2"), script=_work(WORKLOADS)),
         Case("guests in all", prepare=_place("n"), script=_work(WORKLOADS))),
        from_start=True, first_phase="boot"),
)


def find(name: str) -> Experiment | None:
    return next((one for one in EXPERIMENTS if one.name == name), None)


def switch_on(mode: str) -> str:
    """The guest's word for a mode of measuring."""
    return {"exact": "rmpopt-mark --on", "exact+tlb": "rmpopt-mark --on tlb"}.get(
        mode, f"rmpopt-mark --on {mode.partition('=')[2]}")


def script(experiment: Experiment, case: Case, mode: str, only: tuple[str, ...] = ()) -> str:
    lines = case.script.split("\n")
    if only:
        lines = [line for line in lines if not line.startswith("work ") or line.removeprefix("work ") in only]
    before = "rmpopt-mark ''; rmpopt-mark --off" if experiment.from_start else ""
    return "\n".join([PRELUDE, before, case.prepare, switch_on(mode), *lines])
