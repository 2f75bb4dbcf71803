# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine that a guest runs on: its options, and QEMU's command line.

A new option is a field of MachineOptions and a row in the plugin's table of options. All verbs that start a machine
then have it.
"""
import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..base import host, options
from ..base.errors import BadInput
from ..base.options import option, repeated, switch
from ..base.paths import PLUGIN
from ..provision.cache import Cache
from ..provision.qemu import Qemu
from . import cpu

CPUS_FOR_THREADS = 2  # of the host, idle
CPUS_EACH = 2  # of the guest, for each of those; with more, CPUs that wait for each other take its time
LONGEST_BOUND = 86400  # of the watch, in seconds of guest time
LONGEST_TIMEOUT = 10_000_000  # seconds of guest time
# The guest's clock advances 8 ns for each instruction, and jumps to the next timer when all CPUs are idle.
VIRTUAL_TIME = ["-icount", "shift=3,sleep=off"]
LARGEST_SEED = (1 << 64) - 1
SIZE = re.compile(r"(\d+)([KMGT]?)", re.I)
UNITS = {"": 1 << 20, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
HIERARCHY = ("sockets", "dies", "cores", "threads")
SMP_PART = re.compile(rf"(?:maxcpus|{'|'.join(HIERARCHY)})=[1-9]\d{{0,4}}")
SMP_FIRST = re.compile(rf"(?:cpus=)?[1-9]\d{{0,4}}|{SMP_PART.pattern}")


def parse_size(text: str) -> int:
    """Bytes of a QEMU memory size; a bare number counts MiB."""
    found = SIZE.fullmatch(text)
    if not found:
        raise BadInput(f"--mem {text}: give a size such as 6G or 2048M")
    return int(found.group(1)) * UNITS[found.group(2).upper()]


def show_size(size: int) -> str:
    return next(f"{size // UNITS[unit]}{unit}" for unit in "TGMK" if size % UNITS[unit] == 0 or unit == "K")


def _smp_items(text: str) -> dict[str, int]:
    words = (text if "=" in text.split(",")[0] else f"cpus={text}").split(",")
    return {name: int(value) for name, value in (word.split("=") for word in words)}


def check_smp(text: str) -> str:
    """QEMU fills in what is not given: cores, else sockets, else threads."""
    first, *others = text.split(",")
    if not SMP_FIRST.fullmatch(first) or not all(SMP_PART.fullmatch(each) for each in others):
        raise BadInput(f"--smp {text}: give CPUs as QEMU does, for example 4,cores=2,threads=2")
    items = _smp_items(text)
    product = math.prod(items.get(name, 1) for name in HIERARCHY)
    cpus = items.get("cpus", items.get("maxcpus", product))
    most = items.get("maxcpus", cpus)
    given = " * ".join(f"{name} {items[name]}" for name in HIERARCHY if name in items)
    if {"sockets", "cores", "threads"} <= {*items} and product != most:
        raise BadInput(f"--smp {text}: {given} is {product}, and not {most} CPUs")
    if most % product != 0:
        raise BadInput(f"--smp {text}: {most} CPUs can't be divided by {given}")
    if most < cpus:
        raise BadInput(f"--smp {text}: maxcpus can't be less than the {cpus} CPUs that the guest begins with")
    return text


def count_cpus(smp: str) -> int:
    """The CPUs that the guest begins with."""
    items = _smp_items(smp)
    return items.get("cpus") or items.get("maxcpus") or math.prod(items.get(name, 1) for name in HIERARCHY)


def check_measure(text: str) -> str:
    if text in ("off", "exact", "exact+tlb"):
        return text
    if not re.fullmatch(r"sampled=\d{1,10}", text) or not 2 <= int(text.removeprefix("sampled=")) <= 10 ** 9:
        raise BadInput(f"--measure {text}: give off, exact, exact+tlb, or sampled=N with N from 2 to "
                       "1000000000")
    return text


def check_tlb(text: str) -> str:
    if not re.fullmatch(r"zen[345]|[1-9]\d{0,3}/(0|\d{1,5}x\d{1,3})", text):
        raise BadInput(f"--tlb {text}: give zen3, zen4, zen5, or entries of both levels such as 64/2048x16")
    return text


def check_policy(text: str) -> str:
    """Checks the form only; policies.check knows the names and values."""
    if not re.fullmatch(r"[a-z0-9_.-]+=[A-Za-z0-9_.:-]+", text):
        raise BadInput(f"--policy {text}: give NAME=VALUE")
    return text


def check_injection(text: str) -> str:
    """Checks the form only; the plugin knows the commands."""
    if not re.fullmatch(r"(psp:[A-Z][A-Z0-9_]*|rmpupdate):(0x[0-9a-fA-F]+|\d+)(:\d+)?", text):
        raise BadInput(f"--inject {text}: give psp:COMMAND:STATUS[:COUNT] or rmpupdate:STATUS[:COUNT]")
    return text


def parse_bound(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= LONGEST_BOUND:
        raise BadInput(f"--watch-bound {text}: give seconds from 1 to {LONGEST_BOUND}")
    return int(text)


def parse_timeout(text: str) -> int:
    if not text.isdecimal() or int(text) > LONGEST_TIMEOUT:
        raise BadInput(f"--guest-timeout {text}: give seconds, up to {LONGEST_TIMEOUT}")
    return int(text)


def check_latency(text: str) -> str:
    if not re.fullmatch(r"none|typical|\d{1,10}(ns|us|ms)", text):
        raise BadInput(f"--psp-latency {text}: give none, typical, or a time such as 500ns, 20us, 3ms")
    return text


def parse_seed(text: str) -> int:
    if not text.isdecimal() or int(text) > LARGEST_SEED:
        raise BadInput(f"--seed {text}: give a number from 0 to {LARGEST_SEED}")
    return int(text)


def check_turns(text: str) -> str:
    if not re.fullmatch(r"0(:\d{1,4})+", text) or sorted(map(int, text.split(":"))) != list(range(text.count(":") + 1)):
        raise BadInput(f"--turns {text}: give an order of all CPUs that begins with 0, such as 0:2:1:3")
    return text


def parse_words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as problem:
        raise BadInput(f"--qemu-opts: {problem}: check the quotes") from problem


def parse_plugin(text: str) -> Path:
    """The plugin of this checkout need not exist yet; it will be built."""
    path = Path(text).absolute()
    if path != PLUGIN and not path.is_file():
        raise BadInput(f"--plugin {text}: no such file: give the path of a librmpopt.so")
    return path


@dataclass
class MachineOptions:
    smp: str = option("4,cores=2,threads=2", "CPUs, as for QEMU's -smp", metavar="SPEC", parse=check_smp)
    memory: int = option(6 << 30, "guest memory, such as 6G", "--mem", "SIZE", parse=parse_size, show=show_size)
    persona: str = option("venice", "EPYC generation to emulate", choices=cpu.PERSONAS, plugin="persona")
    rmpopt: str = option("on", "off: a CPU that is the same but for RMPOPT, which it lacks", choices=("on", "off"),
                         plugin="rmpopt", untold="on")
    policies: list[str] = repeated("choose a behaviour that AMD leaves open ('rmpopt policies' lists them); may be "
                                   "repeated", "--policy", "NAME=VALUE", parse=check_policy, plugin="policy.")
    rmp: str = option("auto", "layout of the RMP", choices=("auto", "segmented", "contiguous", "none"), plugin="rmp")
    enforce: str = option("on", "fault stores that the RMP forbids; strict: also by the rule for 2 MB mappings",
                          choices=("on", "off", "strict"), plugin="enforce")
    audit: int = option(0, "recount the RMP every N RMP instructions; a contradiction ends QEMU", metavar="N",
                        parse=int, plugin="audit", untold=0)
    watch: str = option("on", "report where the kernel misses an optimisation or misuses the hardware",
                        choices=("on", "off"), plugin="watch", untold="off")
    watch_bound: int = option(30, "seconds of guest time that a clean region may stay unoptimised", metavar="S",
                              parse=parse_bound, plugin="watch-bound", untold=30)
    measure: str = option("off", "count RMP checks of stores: off, exact, exact+tlb (also of fills of modelled TLBs), "
                          "or sampled=N (one in N blocks of code)", metavar="MODE", parse=check_measure,
                          plugin="measure", untold="off")
    tlb: str = option("zen5", "data TLBs to model: zen3, zen4, zen5, or entries such as 64/2048x16", metavar="SIZE",
                      parse=check_tlb, plugin="tlb", untold="zen5")
    thread: str = option("auto", "host threads for the guest's CPUs; auto: multi where this machine is idle enough",
                         choices=("auto", "single", "multi"))
    time: str = option("real", "virtual: the guest's clock counts instructions and skips idle time",
                       choices=("real", "virtual"))
    seed: int | None = option(None, "the same seed gives the same run, instruction for instruction; implies --time "
                              "virtual", metavar="N", parse=parse_seed)
    turns: str | None = option(None, "order in which CPUs take turns, with --seed, such as 0:2:1:3 (default: by their "
                               "numbers)", metavar="ORDER", parse=check_turns, plugin="turns")
    psp_latency: str = option("none", "guest time that a command of the secure processor takes: none, typical (our "
                              "assumptions), or a time such as 20us", metavar="TIME", parse=check_latency,
                              plugin="psp-latency", untold="none")
    injections: list[str] = repeated("let the first COUNT (1) firmware commands or RMPUPDATEs fail, such as "
                                     "psp:SNP_INIT_EX:0x3:2 or rmpupdate:4; may be repeated ('ctl inject' does it "
                                     "later)", "--inject", "FAULT:STATUS[:COUNT]", parse=check_injection,
                                     plugin="inject=")
    guest_timeout: int = option(0, "seconds of guest time after which the machine powers off; 0: never", metavar="S",
                                parse=parse_timeout, plugin="time-limit", untold=0)
    qemu: str | None = option(None, "QEMU to use", metavar="PATH")
    qemu_options: list[str] = repeated("more QEMU options; may be repeated", "--qemu-opts", "S", "extend",
                                       parse=parse_words)
    plugin: Path = option(PLUGIN, "plugin of another build directory; it is not rebuilt", metavar="PATH",
                          parse=parse_plugin)
    no_plugin: bool = switch("run QEMU without the plugin, for comparison")

    @property
    def library(self) -> Path | None:
        return None if self.no_plugin else self.plugin

    @property
    def watches(self) -> bool:
        return not self.no_plugin and self.watch == "on"

    @property
    def has_virtual_time(self) -> bool:
        return self.time == "virtual" or self.seed is not None

    def on_idle_host(self, idle_cpus: int) -> str:
        """QEMU's word for the number of host threads. One is the safe choice without the plugin's way round QEMU's
        races, and the only one in virtual time."""
        if self.thread != "auto":
            return self.thread
        enough = idle_cpus >= CPUS_FOR_THREADS and count_cpus(self.smp) <= CPUS_EACH * idle_cpus
        several = enough and not self.no_plugin and not self.has_virtual_time
        return "multi" if several else "single"

    @property
    def has_rmp(self) -> bool:
        return not self.no_plugin and self.rmp != "none"

    def check(self) -> None:
        """Refuses options that exclude each other or are not offered."""
        if self.has_virtual_time and self.thread == "multi":
            raise BadInput(f"{'--time virtual' if self.seed is None else '--seed'} needs one host thread: leave "
                           "--thread multi out")
        if "-numa" in self.qemu_options:
            raise BadInput("--qemu-opts -numa: NUMA is not offered yet: leave it out")
        if self.turns and (self.seed is None or self.no_plugin):
            raise BadInput("--turns needs --seed and the plugin")


def plugin_argument(machine: MachineOptions, places: dict[str, Path], more: Sequence[str] = ()) -> str:
    """The value of -plugin. Paths are checked because QEMU splits options at commas."""
    words = [str(machine.plugin)]
    for name, each, _ in options.of(MachineOptions):
        words += each.told(getattr(machine, name))
    if machine.seed is not None:
        words.append("deterministic=on")
    words += [f"{name}={path}" for name, path in places.items()] + [*more]
    if any("," in word for word in words):
        raise BadInput("a path contains a comma, which QEMU's plugin options can't hold: "
                       "use another directory for the checkout, RMPOPT_CACHE or --report")
    return ",".join(words)


def _seeded(seed: int | None) -> list[str]:
    """QEMU's random numbers come from the seed, and its date from the guest's clock."""
    return [] if seed is None else ["-seed", str(seed), "-rtc", "base=2026-01-01,clock=vm"]


def command(cache: Cache, qemu: Qemu, machine: MachineOptions, places: dict[str, Path],
            more: Sequence[str] = (), may_reboot: bool = False, has_psp: bool = False) -> list[str]:
    """QEMU's command line for the machine alone. `places` maps the plugin's path options to paths, `more`
    are further options of the plugin. With `may_reboot`
    a reset of the guest does not end QEMU. `has_psp`: with the secure processor."""
    size = f"{machine.memory >> 10}K"
    words = [*qemu.argv, "-no-user-config", "-nodefaults", "-display", "none", *([] if may_reboot else ["-no-reboot"]),
             "-accel", f"tcg,thread={machine.on_idle_host(host.idle_cpus())}",
             "-machine", "q35,smm=off,memory-backend=ram",
             "-object", f"memory-backend-memfd,id=ram,size={size},share=on", "-m", size,
             "-smp", machine.smp, "-cpu", cpu.model(qemu, machine.persona, cache),
             *(VIRTUAL_TIME if machine.has_virtual_time else []), *_seeded(machine.seed)]
    if not machine.no_plugin:
        words += ["-plugin", plugin_argument(machine, places, more), "-device", "amd-iommu,xtsup=on"]
        if has_psp:
            words += ["-device", "rmpopt-psp"]
    return words
