# SPDX-License-Identifier: GPL-2.0-or-later
"""What the user asks of boot."""
import sys
from dataclasses import dataclass, field
from pathlib import Path

from ..base.errors import BadInput
from . import image
from .machine import TLB

SMALLEST_MEMORY = 256 << 20


@dataclass
class Request:
    """What the user asked for, checked."""
    kernel: str = ""  # "" reference kernel, "debian", "variants", or a path
    modules: Path | None = None
    initrd: Path | None = None
    append: str = ""
    files: list[Path] = field(default_factory=list)  # go to /root
    smp: str = "4,cores=2,threads=2"
    memory: int = 6 << 30
    persona: str = "venice"
    policies: list[str] = field(default_factory=list)
    rmp: str = "auto"
    enforce: str = "on"
    audit: int = 0
    thread: str = "single"
    virtual_time: bool = False
    watch_bound: int = 30  # seconds; 0: no watch
    watch_fatal: bool = False
    measure: str = "off"
    tlb: str = TLB
    symbols: Path | None = None  # System.map or vmlinux
    report: Path | None = None
    timeout: float = 300
    reboots: int = 0  # how often a kernel starts anew, by reset or kexec
    qemu: str | None = None
    qemu_options: list[str] = field(default_factory=list)
    plugin: Path | None = None
    shell: bool = False
    json: bool = False
    verbose: bool = False
    command: str = ""

    def check(self) -> None:
        """Refuses bad input before anything long starts."""
        if self.memory < SMALLEST_MEMORY:
            raise BadInput(f"--mem: {self.memory >> 20} MiB is too small for a Linux guest: give 1G or more")
        if self.kernel not in ("", "debian", "variants"):
            image.check_kernel(Path(self.kernel))
        if self.reboots < 0:
            raise BadInput(f"--reboots {self.reboots}: give how often the guest starts anew")
        if self.initrd:
            image.check_readable(self.initrd, "initrd")
        self._check_files()
        if self.symbols:
            image.check_readable(self.symbols, "symbols")
        if self.virtual_time and self.thread == "multi":
            raise BadInput("--time virtual needs one host thread: leave --thread multi out")
        if self.watch_fatal and not self.watches:
            raise BadInput("--watch-fatal without a watch: leave --watch off and --no-plugin out")
        if self.shell and self.command:
            raise BadInput("--shell and a command exclude each other")
        if self.shell and not sys.stdin.isatty():
            raise BadInput("--shell needs a terminal")

    def _check_files(self) -> None:
        names: set[str] = set()
        for path in self.files:
            image.check_readable(path, "file")
            if path.name in names:
                raise BadInput(f"--file: two files are named {path.name}: rename one, both go to /root")
            names.add(path.name)

    @property
    def watches(self) -> bool:
        return self.plugin is not None and self.watch_bound > 0

    @property
    def wants_snp(self) -> bool:
        return self.plugin is not None and self.rmp != "none"
