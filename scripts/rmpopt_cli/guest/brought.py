# SPDX-License-Identifier: GPL-2.0-or-later
"""What users bring into the guest: a userland, directories, disks and a network. The guest's side is bring.sh.

Directories come by 9p, for which QEMU needs no helper and most kernels have a driver.
"""
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..base.errors import BadInput
from . import console

QCOW2_MAGIC = b"QFI\xfb"
CONTROLLERS = ("virtio", "nvme")
# SNP needs a kernel whose IOMMU translates, and QEMU's does not translate. What needs that stands on a bus of its own.
BEYOND_IOMMU = "beyond-iommu"
TAG_OF_ROOT = "root"
OWN_WITH_ROOT = ("/tmp", "/run")  # empty directories of the guest's, as bring.sh mounts them
ADVICE = ("has the kernel CONFIG_9P_FS and CONFIG_NET_9P_VIRTIO for --share and --root, CONFIG_OVERLAY_FS for --root, "
          "CONFIG_VIRTIO_NET for --net, built in or among its modules?")


def quoted(path: Path) -> str:
    """QEMU doubles commas in option values."""
    return str(path).replace(",", ",,")


def _check_directory(flag: str, path: Path) -> None:
    if not path.is_dir():
        raise BadInput(f"{flag} {path}: no such directory: check the path")
    if not os.access(path, os.R_OK | os.X_OK):
        raise BadInput(f"{flag} {path}: you may not read it")


def _parts(text: str) -> tuple[str, list[str], bool]:
    """A path, what follows it after colons, and whether :rw is the last of it."""
    path, *more = text.split(":")
    writable = more[-1:] == ["rw"]
    return path, more[:-1] if writable else more, writable


@dataclass(frozen=True)
class Share:
    directory: Path
    mount: str  # absolute path in the guest
    writable: bool = False

    @classmethod
    def parse(cls, text: str) -> "Share":
        directory, mount, writable = _parts(text)
        path = Path(directory).absolute()
        if not directory or len(mount) > 1 or any(not each.startswith("/") for each in mount) or "\n" in text:
            raise BadInput(f"--share {text!r}: give DIR, DIR:MOUNT, and perhaps :rw, with MOUNT beginning with a /")
        return cls(path, os.path.normpath(mount[0] if mount else path), writable)

    def __str__(self) -> str:
        return f"{self.directory}:{self.mount}{':rw' if self.writable else ''}"

    def check(self) -> None:
        _check_directory("--share", self.directory)
        if self.mount == "/":
            raise BadInput("--share at / would hide the guest's own files: give another MOUNT, or take --root")
        if self.writable and not os.access(self.directory, os.W_OK):
            raise BadInput(f"--share {self.directory}:rw: you may not write to it: leave :rw out")


@dataclass(frozen=True)
class Disk:
    file: Path
    controller: str = CONTROLLERS[0]
    writable: bool = False

    @classmethod
    def parse(cls, text: str) -> "Disk":
        file, controller, writable = _parts(text)
        if not file or len(controller) > 1 or any(each not in CONTROLLERS for each in controller):
            raise BadInput(f"--disk {text}: give FILE, perhaps :virtio or :nvme, and perhaps :rw")
        return cls(Path(file).absolute(), *controller[:1] or CONTROLLERS[:1], writable)

    def __str__(self) -> str:
        return f"{self.file}:{self.controller}{':rw' if self.writable else ''}"

    def check(self) -> None:
        try:
            with self.file.open("r+b" if self.writable else "rb") as stream:
                mode = os.fstat(stream.fileno()).st_mode
        except OSError as problem:
            raise BadInput(f"--disk {self.file}: {problem.strerror}: check the path") from problem
        if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
            raise BadInput(f"--disk {self.file}: give an image, or a block device")

    def format(self) -> str:
        with self.file.open("rb") as stream:
            return "qcow2" if stream.read(len(QCOW2_MAGIC)) == QCOW2_MAGIC else "raw"


@dataclass(frozen=True)
class Brought:
    root: Path | None = None
    shares: list[Share] = field(default_factory=list)
    disks: list[Disk] = field(default_factory=list)
    net: bool = False
    consoles: int = 0  # with a shell on each, for more terminals than the first

    def __bool__(self) -> bool:
        return bool(self.root or self.shares or self.disks or self.net or self.consoles)

    def check(self) -> None:
        """Refuses what can't be brought, before anything long starts."""
        if self.root:
            _check_directory("--root", self.root)
            if not os.path.lexists(self.root / "bin" / "sh"):
                raise BadInput(f"--root {self.root}: no bin/sh in it: give the top of a userland")
        for each in (*self.shares, *self.disks):
            each.check()
        mounts = [share.mount for share in self.shares]
        if len({*mounts}) < len(mounts):
            raise BadInput("--share: two directories at the same place: give one of them another MOUNT")

    def has(self, directory: Path) -> bool:
        """Whether a guest with a root has this directory, as far as that is known here."""
        for share in self.shares:
            if directory.is_relative_to(share.mount):
                return (share.directory / directory.relative_to(share.mount)).is_dir()
        own = any(directory.is_relative_to(each) for each in OWN_WITH_ROOT)
        return self.root is not None and not own and (self.root / directory.relative_to("/")).is_dir()

    def modules(self) -> list[str]:
        """Those that the guest's kernel needs, unless they are built in."""
        wanted = ["virtio_pci"] if self else []
        wanted += ["9pnet_virtio", "9p"] if self.root or self.shares else []
        wanted += ["overlay"] if self.root else []
        wanted += sorted({"nvme" if disk.controller == "nvme" else "virtio_blk" for disk in self.disks})
        wanted += ["ext4"] if self.disks else []
        return wanted + (["virtio_net"] if self.net else []) + (["virtio_console"] if self.consoles else [])

    def arguments(self, sockets: Path) -> list[str]:
        """For QEMU. Sockets of consoles go to that directory."""
        return [word for words in self._arguments(sockets) for word in words]

    def _arguments(self, sockets: Path) -> Iterator[list[str]]:
        if self.root:
            yield _nine_p(TAG_OF_ROOT, self.root.absolute(), writable=False)
        for number, share in enumerate(self.shares):
            yield _nine_p(f"share{number}", share.directory, share.writable)
        if any(disk.controller == "nvme" for disk in self.disks):
            yield ["-device", f"pxb-pcie,id={BEYOND_IOMMU},bus_nr=64,bypass_iommu=on"]
        for number, disk in enumerate(self.disks):
            yield from _disk(f"disk{number}", disk, chassis=number + 1)
        if self.net:
            yield ["-netdev", "user,id=net", "-device", "virtio-net-pci,bus=pcie.0,netdev=net,romfile="]
        if self.consoles:
            yield ["-device", "virtio-serial-pci,bus=pcie.0,id=consoles"]
        for number in range(self.consoles):
            name = f"console{number}"
            yield ["-chardev", f"socket,id={name},server=on,wait=off,path={quoted(console.socket_in(sockets, number))}",
                   "-device", f"virtconsole,bus=consoles.0,chardev={name}"]

    def for_init(self) -> str:
        """What bring.sh reads: a line for each thing that it mounts or sets up."""
        lines = ["root"] if self.root else []
        lines += [f"share share{number} {'rw' if share.writable else 'ro'} {share.mount}"
                  for number, share in enumerate(self.shares)]
        lines += ["net"] if self.net else []
        lines += [f"consoles {self.consoles}"] if self.consoles else []
        return "".join(f"{line}\n" for line in lines)


def _disk(name: str, disk: Disk, chassis: int) -> Iterator[list[str]]:
    yield ["-drive", f"if=none,id={name},format={disk.format()},snapshot={'off' if disk.writable else 'on'},"
           f"file={quoted(disk.file)}"]
    if disk.controller == "nvme":
        yield ["-device", f"pcie-root-port,id=port-{name},bus={BEYOND_IOMMU},chassis={chassis}",
               "-device", f"nvme,bus=port-{name},drive={name},serial={name}"]
    else:
        yield ["-device", f"virtio-blk-pci,bus=pcie.0,drive={name},serial={name}"]


def _nine_p(tag: str, directory: Path, writable: bool) -> list[str]:
    return ["-fsdev", f"local,id={tag},security_model=none,multidevs=remap,readonly={'off' if writable else 'on'},"
            f"path={quoted(directory)}", "-device", f"virtio-9p-pci,bus=pcie.0,fsdev={tag},mount_tag={tag}"]
