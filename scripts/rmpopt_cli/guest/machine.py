# SPDX-License-Identifier: GPL-2.0-or-later
"""The QEMU command line of a persona, shared by boot and run."""
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from ..base.errors import BadInput

RMP_LAYOUTS = ("auto", "segmented", "contiguous", "none")
SOCKET_PATH_LIMIT = 107  # struct sockaddr_un without its final NUL
# The clock counts instructions, 8 ns each, and jumps to the next timer when all CPUs idle.
VIRTUAL_TIME = ["-icount", "shift=3,sleep=off"]
SIZE = re.compile(r"(\d+)([KMGT]?)", re.I)
UNITS = {"": 1 << 20, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
SMP_ITEM = re.compile(r"(?:cpus=)?[1-9]\d*|(?:maxcpus|sockets|dies|cores|threads)=[1-9]\d*")
TLB = "zen5"  # the plugin's default


def parse_size(text: str) -> int:
    """Bytes of a QEMU memory size; a bare number counts MiB."""
    found = SIZE.fullmatch(text)
    if not found:
        raise BadInput(f"--mem {text}: give a size such as 6G or 2048M")
    return int(found.group(1)) * UNITS[found.group(2).upper()]


def check_smp(text: str) -> str:
    items = text.split(",")
    if not SMP_ITEM.fullmatch(items[0]) or not all(SMP_ITEM.fullmatch(item) for item in items):
        raise BadInput(f"--smp {text}: give CPUs as QEMU does, for example 4,cores=2,threads=2")
    return text


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
    if not re.fullmatch(r"[a-z0-9_.-]+=[A-Za-z0-9_.:-]+", text):
        raise BadInput(f"--policy {text}: give NAME=VALUE")
    return text


@dataclass
class PluginOptions:
    """What the plugin is told; paths are checked because QEMU splits options at commas."""
    library: Path
    persona: str
    rmp: str = "auto"
    enforce: str = "on"
    policies: list[str] = field(default_factory=list)
    audit: int = 0
    watch_bound: int = 0  # seconds; 0: nobody watches
    measure: str = "off"
    tlb: str = TLB
    psp_socket: Path | None = None
    log: Path | None = None
    report: Path | None = None
    events: Path | None = None
    control: Path | None = None

    def argument(self) -> str:
        words = [f"persona={self.persona}", f"rmp={self.rmp}", f"enforce={self.enforce}"]
        words += [f"policy.{policy}" for policy in self.policies]
        if self.audit:
            words.append(f"audit={self.audit}")
        if self.watch_bound:
            words += ["watch=on", f"watch-bound={self.watch_bound}"]
        if self.measure != "off":
            words.append(f"measure={self.measure}")
        if self.tlb != TLB:
            words.append(f"tlb={self.tlb}")
        for name, path in (("psp", self.psp_socket), ("log", self.log), ("report", self.report),
                           ("events", self.events), ("control", self.control)):
            if path:
                words.append(f"{name}={path}")
        if any("," in word for word in [str(self.library), *words]):
            raise BadInput("a path contains a comma, which QEMU's plugin options can't hold: "
                           "use another directory for the checkout, RMPOPT_CACHE or --report")
        return ",".join([str(self.library), *words])


@dataclass
class Machine:
    cpu: str  # value of -cpu
    memory: int
    smp: str
    plugin: PluginOptions | None = None
    thread: str = "multi"
    virtual_time: bool = False
    may_reboot: bool = False  # a reset of the guest does not end QEMU

    def arguments(self) -> list[str]:
        size = f"{self.memory >> 10}K"
        words = ["-no-user-config", "-nodefaults", "-display", "none", *([] if self.may_reboot else ["-no-reboot"]),
                 "-accel", f"tcg,thread={self.thread}", "-machine", "q35,smm=off,memory-backend=ram",
                 "-object", f"memory-backend-memfd,id=ram,size={size},share=on", "-m", size,
                 "-smp", self.smp, "-cpu", self.cpu]
        if self.virtual_time:
            words += VIRTUAL_TIME
        if self.plugin:
            words += ["-plugin", self.plugin.argument(), "-device", "amd-iommu,xtsup=on"]
            if self.plugin.psp_socket:
                words += ["-device", psp_device(self.plugin.psp_socket)]
        return words


def psp_device(socket: Path) -> str:
    if len(str(socket).encode()) > SOCKET_PATH_LIMIT:
        raise BadInput(f"socket path {socket} is longer than {SOCKET_PATH_LIMIT} bytes: "
                       "set RMPOPT_CACHE to a shorter directory")
    return json.dumps({"driver": "vfio-user-pci", "socket": {"type": "unix", "path": str(socket)}},
                      separators=(",", ":"))
