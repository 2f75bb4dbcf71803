# SPDX-License-Identifier: GPL-2.0-or-later
"""An SNP guest of the emulated host: what it is, its files, and the QEMU command that starts it there."""
import shlex
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..base.console import warn
from ..base.errors import BadInput
from ..base.options import option, repeated, switch
from ..base.paths import CHECKOUT
from ..guest.initramfs import Cpio, add_busybox, add_files, add_modules, busybox, module_name
from ..guest.machine import parse_size, parse_words, show_size
from ..guest.request import script_of
from ..guest.workspace import GUEST_CONSOLE, GUEST_MESSAGES, GUEST_TIMES
from ..provision import image, modules
from ..provision.debian_kernel import Kernel
from . import firmware

INIT = CHECKOUT / "scripts" / "guest" / "snp_guest.sh"
MOUNT = "/snp-guest"  # where the emulated host sees the files
ARCHIVE = "snp-guest.tar"
TOP = "/tmp/snp"  # where a host that has the archive in its /root unpacks it
KERNEL, INITRD, SCRIPT = "vmlinuz", "initrd", "run"
SAYS = "guest-says"  # where the guest's last serial port leads
PRELOADED, CERTIFICATES = "snp-certificates.so", "certificates"
# Writes down when the guest says what. The shell holds the pipe open, so that none of its ends waits for another.
SCRIPT_TEXT = f"""cd {MOUNT} || exit 125
rm -f /dev/{SAYS} {SAYS} {GUEST_TIMES}
mkfifo /dev/{SAYS} && ln -s /dev/{SAYS} {SAYS} && exec 3<>/dev/{SAYS} || exit 125
now() {{ read -r up _ </proc/uptime; echo "$up $*" >>{GUEST_TIMES}; }}
while read -r words; do
    now "$words"
    [ "$words" != ended ] || break
done <&3 &
now qemu
COMMAND 2>{GUEST_MESSAGES} </dev/null 3>&-
echo ended >&3
wait
status=$(sed -n 's/.* done [^ ]* //p' {GUEST_TIMES})
exit "${{status:-125}}"
"""
UNPACK = (f"mkdir -p {TOP}/dev {TOP}/proc && tar xf /root/{ARCHIVE} -C {TOP} && mount --bind /dev {TOP}/dev && "
          f"mount --bind /proc {TOP}/proc")
RUN = f"sh {MOUNT}/{SCRIPT}"
RUN_UNPACKED = f"chroot {TOP} {RUN}"
SMALLEST_MEMORY = 256 << 20
# The guest's way to the secure processor. Drivers of older kernels leave it to the others to seal their messages.
MODULES = ("ctr", "ghash_generic", "gcm", "sev_guest")
POLICY = 0x30000  # SMT is allowed; bit 17 must be set
CPU = "EPYC-v4"
DEFAULT_COMMAND = "dmesg | grep -E 'Memory Encryption|SEV: '"


def command_of(words: Sequence[str]) -> str:
    return script_of(words or [DEFAULT_COMMAND])


@dataclass
class SnpGuest:
    kernel: str = option("debian", "kernel of the guest: as for boot", metavar="KERNEL")
    memory: int = option(512 << 20, "the guest's memory, such as 1G", metavar="SIZE", parse=parse_size, show=show_size)
    smp: int = option(1, "the guest's CPUs", metavar="N", parse=int)
    firmware: str = option(firmware.OVMF, "the guest's firmware: ovmf is Debian's; direct is our own, which starts the "
                           "kernel at once, and only if it is the one that was measured; or a file", metavar="FIRMWARE")
    append: str = option("", "more words for the guest's kernel command line", metavar="S")
    cpu: str = option(CPU, "the guest's CPU model, for QEMU", metavar="MODEL")
    files: list[Path] = repeated("put this file into the guest's /root; may be repeated", "--file", "F", parse=Path)
    modules: list[str] = repeated("load this module of the guest's kernel, and those that it needs, such as "
                                  "virtio_blk; may be repeated", "--module", "NAME", parse=modules.in_kernel)
    qemu_options: list[str] = repeated("more options of the QEMU that runs the guest; may be repeated", "--qemu-opts",
                                       "S", "extend", parse=parse_words)
    certificates: bool = switch("give the guest the chip's certificates with its attestation reports; a library that "
                                "is preloaded into QEMU does it")
    command: str = ""

    def check(self) -> None:
        if self.memory < SMALLEST_MEMORY:
            raise BadInput(f"--memory: {self.memory >> 20} MiB is too small for a Linux guest: give 256M or more")
        if not 1 <= self.smp <= 64:
            raise BadInput(f"--smp {self.smp}: give 1 to 64 CPUs")
        image.check_files(self.files)
        firmware.check(self.firmware)

    def module_files(self, kernel: Kernel) -> list[Path]:
        """In the order in which the guest loads them."""
        if not kernel.modules:
            return []
        for name in modules.missing(kernel.modules, self.modules):
            warn(f"--module {name}: not among the modules of the guest's kernel; it may be built in")
        return modules.in_order(kernel.modules, [*MODULES, *self.modules])

    def initrd_for(self, kernel: Kernel) -> bytes:
        return self.initrd(self.module_files(kernel))

    def initrd(self, module_files: Sequence[Path] = ()) -> bytes:
        cpio = Cpio()
        for name in ("dev", "proc", "sys", "tmp", "root"):
            cpio.directory(name)
        cpio.device("dev/console", 5, 1)
        add_busybox(cpio, busybox(), "bin")
        add_files(cpio, self.files)
        add_modules(cpio, module_files, "modules")
        cpio.file("modules/order", "".join(f"{module_name(path)}\n" for path in module_files).encode())
        cpio.file("init", b"#!/bin/sh\n" + INIT.read_bytes(), 0o755)
        cpio.file("command", (self.command + "\n").encode())
        return cpio.archive()

    def command_line(self) -> str:
        """Of the guest's kernel. It looks for no second PCI root, which costs thousands of exits."""
        return " ".join(word for word in ("console=ttyS0 panic=-1 loglevel=5 pci=lastbus=0", self.append) if word)

    def qemu_command(self) -> list[str]:
        """As a user of a real host would type it. The guest has no devices that its firmware polls or waits for: each
        look is an exit."""
        size = f"{self.memory >> 20}M"
        hashes = ",kernel-hashes=on" if firmware.takes_hashes(self.firmware) else ""
        return ["qemu-system-x86_64", "-accel", "kvm", "-nodefaults", "-no-reboot", "-display", "none",
                "-machine", "q35,i8042=off,sata=off,confidential-guest-support=sev0,memory-backend=ram1",
                "-cpu", self.cpu, "-smp", str(self.smp), "-m", size,
                "-object", f"memory-backend-memfd,id=ram1,size={size},share=true",
                "-object", f"sev-snp-guest,id=sev0,cbitpos=51,reduced-phys-bits=1,policy={POLICY:#x}{hashes}",
                "-bios", firmware.name(self.firmware), "-kernel", KERNEL, "-initrd", INITRD,
                "-append", self.command_line(),
                "-serial", f"file:{GUEST_CONSOLE}", "-serial", "null", "-serial", "stdio", "-serial", f"file:{SAYS}",
                *self.qemu_options]

    def write_files(self, directory: Path, kernel: Kernel) -> None:
        """What the emulated host needs, into a directory that it sees at MOUNT."""
        (directory / KERNEL).write_bytes(kernel.image.read_bytes())
        (directory / INITRD).write_bytes(self.initrd_for(kernel))
        preloaded = f"LD_PRELOAD=./{PRELOADED} SNP_CERTIFICATES={CERTIFICATES} " if self.certificates else ""
        (directory / SCRIPT).write_text(SCRIPT_TEXT.replace("COMMAND", preloaded + shlex.join(self.qemu_command())))


def pack(directory: Path, userland: Path) -> Path:
    """The files in the directory and the userland in one archive, for a host to whose /root it is copied: the host is
    the same each time. UNPACK, then RUN_UNPACKED start the guest there."""
    archive = directory / ARCHIVE
    with tarfile.open(archive, "w") as tar:
        tar.add(userland, ".", filter=_same_each_time)
        for path in sorted(directory.iterdir()):
            if path != archive:
                tar.add(path, f"{MOUNT}/{path.name}".lstrip("/"), filter=_same_each_time)
    return archive


def _same_each_time(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without what depends on when and by whom the file was made."""
    return member.replace(mtime=0, uid=0, gid=0, uname="", gname="", deep=False)
