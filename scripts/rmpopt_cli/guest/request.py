# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of a boot of Linux."""
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..base import host, options
from ..base.errors import BadInput
from ..base.options import directory, option, repeated, switch
from ..provision import given_kernel, image, modules
from . import console, required, schedule, stalls
from .brought import Brought, Disk, Share
from .machine import MachineOptions, show_size
from .stalls import Stall

SMALLEST_MEMORY = 256 << 20
PAGE, STRUCT_PAGE, RMP_ENTRY = 4096, 64, 16
KERNEL_TAKES = 512 << 20  # roughly, beside what it takes for each page
GIB = 1 << 30


# Nobody types in the guest, where stdin and stdout are consoles: a program that reads stdin must see its end, and a
# pager must not wait for keys.
UNATTENDED = "exec </dev/null; export PAGER=cat GIT_PAGER=cat; "


def script_of(words: Sequence[str]) -> str:
    """What the guest's shell executes for COMMAND: a single word is a script itself."""
    if not words:
        return ""
    return UNATTENDED + (words[0] if len(words) == 1 else shlex.join(words))


@dataclass
class Request:
    kernel: str = option("", "kernel to boot: a bzImage, the tree where one was built, linux-image-*.deb; or a name: "
                         "debian or debian:6.12 are Debian's own, variants makes mistakes on demand, debug checks its "
                         "own locks (default: the reference kernel)", metavar="KERNEL")
    build: bool = switch("run make in the tree that --kernel names, first")
    modules: Path | None = option(None, "lib/modules/VERSION, or a tree, to load ccp and kvm_amd from (default: the "
                                  "kernel's own, of a tree or a package)", metavar="DIR", parse=Path)
    initrd: Path | None = option(None, "initrd to use; its /init runs unless COMMAND is given", metavar="F", parse=Path)
    files: list[Path] = repeated("put this file into the guest's /root; may be repeated", "--file", "F", parse=Path)
    root: Path | None = option(None, "userland for the guest, such as / for this machine's; writes to it are lost when "
                               "the guest ends", metavar="DIR", parse=Path)
    shares: list[Share] = repeated("show this directory in the guest, at the same path or at MOUNT, read-only unless "
                                   ":rw is given; may be repeated", "--share", "DIR[:MOUNT][:rw]", parse=Share.parse)
    disks: list[Disk] = repeated("give the guest this disk image, by virtio or as an NVMe; writes are lost unless "
                                 ":rw is given; may be repeated", "--disk", "FILE[:nvme][:rw]", parse=Disk.parse)
    net: bool = switch("give the guest a network, through this machine and only outwards")
    append: str = option("", "more words for the kernel command line", metavar="S")
    require: Sequence[str] = option((), "fail the boot if this is not in use, even if COMMAND ends with 0: "
                                     "snp, rmpopt, or snp,rmpopt", metavar="WHAT", parse=required.parse,
                                     show=",".join)
    watch_fatal: bool = switch("fail the boot if the watch has an error or a warning; while one may still come, the "
                               "guest goes on after its work, for up to twice --watch-bound")
    same_as: Path | None = option(None, "fail the boot if it is not the same as an earlier one with the same seed, and "
                                  "say where they part", metavar="REPORT", parse=Path)
    stalls: list[Stall] = repeated("let a CPU stall once, with --seed, such as rmpopt@2#17:300us (the 17th RMPOPT of "
                                   "CPU 2) or function+0x45@0#1:3ms; may be repeated", "--stall", "POINT:TIME",
                                   parse=stalls.parse)
    at: list[str] = repeated("with --seed, count each instruction of these functions as a point for --stall; may be "
                             "repeated", "--at", "PATTERN")
    symbols: Path | None = option(None, "System.map or vmlinux (default: the System.map beside the kernel)",
                                  metavar="F", parse=Path)
    report: Path | None = option(None, "directory for logs and result.json; what an earlier boot left there goes to "
                                 "DIR.old", metavar="DIR", parse=directory("--report"))
    timeout: float = option(300, "seconds to wait", metavar="S", parse=float)
    reboots: int = option(0, "how many times the guest may restart, by reset or kexec", metavar="N", parse=int)
    shell: bool = switch("interactive console (Ctrl-A X ends QEMU); 'rmpopt console' opens more")
    gdb: bool = switch("wait for gdb before the first instruction ('target remote :1234'), and without --timeout")
    json: bool = switch("print the result as JSON")
    verbose: bool = switch("show the guest's console")
    command: str = ""
    points: str = ""  # of stalls: when the plugin counts them
    kept: Sequence[Path] = ()  # files that COMMAND leaves in the guest, for the report directory
    machine: MachineOptions = field(default_factory=MachineOptions)

    def chosen(self) -> dict[str, Any]:
        """What the user chose, for result.json."""
        command = {"COMMAND": self.command} if self.command else {}
        return {**options.chosen(self), **options.chosen(self.machine), **command}

    @property
    def brought(self) -> Brought:
        consoles = console.MOST if self.shell and self.machine.seed is None else 0
        return Brought(self.root, self.shares, self.disks, self.net, consoles)

    def check(self) -> None:
        """Refuses bad input before anything long starts."""
        self.machine.check()
        self._check_brought()
        self.check_memory(host.available_memory())
        given_kernel.check(self.kernel, self.build)
        if self.modules:
            modules.files(self.modules)
        if self.reboots < 0:
            raise BadInput(f"--reboots {self.reboots}: give how often the guest starts anew")
        if self.initrd:
            image.check_readable(self.initrd, "initrd")
        image.check_files(self.files)
        if self.same_as:
            if self.machine.seed is None:
                raise BadInput("--same-as needs the --seed of that boot")
            schedule.check_readable(self.same_as)
        if (self.stalls or self.at) and (self.machine.seed is None or self.machine.no_plugin):
            raise BadInput("--stall and --at need --seed and the plugin")
        if self.symbols:
            image.check_readable(self.symbols, "symbols")
        if self.require and not self.machine.has_rmp:
            raise BadInput("--require without an RMP: leave --no-plugin and --rmp none out")
        if required.RMPOPT in self.require and self.machine.rmpopt == "off":
            raise BadInput("--require rmpopt on a CPU that lacks it: leave --rmpopt off out")
        if self.watch_fatal and not self.machine.watches:
            raise BadInput("--watch-fatal without a watch: leave --watch off and --no-plugin out")
        if self.shell and self.command:
            raise BadInput("--shell and a command exclude each other")
        if self.shell and not sys.stdin.isatty():
            raise BadInput("--shell needs a terminal; for commands from a file: --file FILE -- sh /root/FILE")

    def _check_brought(self) -> None:
        self.brought.check()
        if self.brought and self.machine.seed is not None:
            raise BadInput("--seed with --root, --share, --disk or --net: how long they take depends on this machine; "
                           "put what the guest needs into --file or --initrd")
        if self.root and self.initrd:
            raise BadInput("--root and --initrd exclude each other: both are the guest's userland")

    def _touched(self) -> int:
        """How much of its memory the guest will have touched when it is up: the kernel writes its array of struct page,
        and all of the RMP."""
        each = STRUCT_PAGE + (RMP_ENTRY if self.machine.has_rmp else 0)
        return min(self.machine.memory, self.machine.memory // PAGE * each + KERNEL_TAKES)

    def check_memory(self, available: int) -> None:
        """Refuses a guest that would fill the memory of this machine, of which so many bytes are available."""
        memory = self.machine.memory
        if memory < SMALLEST_MEMORY:
            raise BadInput(f"--mem: {memory >> 20} MiB is too small for a Linux guest: give 1G or more")
        if self._touched() > available:
            raise BadInput(f"--mem {show_size(memory)}: its kernel alone will touch {self._touched() / GIB:.1f} GiB, "
                           "with 64 bytes of struct page and 16 of RMP for each 4 KiB, but this machine has "
                           f"{available / GIB:.1f} GiB left: give less")
