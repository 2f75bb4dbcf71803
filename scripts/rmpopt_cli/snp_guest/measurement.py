# SPDX-License-Identifier: GPL-2.0-or-later
"""The launch digest of a guest, computed from what QEMU and KVM load: the guest's firmware, the pages that its metadata
asks for, the first state of its CPUs. The model that measures the launch has no part in it."""
import hashlib
import json
import struct
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from ..base.errors import BadInput, Failure
from ..base.shell import environment, last_line
from ..provision.qemu import Qemu

PAGE = 4096
FOUR_GIB = 1 << 32
# AMD 56860, SNP_LAUNCH_UPDATE: page types; of the last three the digest takes in no content.
NORMAL, VMSA, ZERO, SECRETS, CPUID = 1, 2, 3, 5, 6
VMSA_ADDRESS = 0xFFFFFFFFF000  # as KVM has it
# OVMF: the table before its last 32 bytes, and the entries of it that matter.
TABLE = uuid.UUID("96b582de-1fb2-45f7-baea-a366c55a082d")
METADATA = uuid.UUID("dc886566-984a-4798-a75e-5585a7bf67cc")
RESET_BLOCK = uuid.UUID("00f771de-1a7e-4fcb-890e-68c77e2fb44e")
HASHES_AREA = uuid.UUID("7255371f-3a3b-4b04-927b-1da6efa8d454")
AFTER_TABLE, ENTRY = 32, 18  # an entry ends with its length and its name
HASHES = 0x10  # a section for the hashes of what QEMU's -kernel and the like name
SECTION_PAGES = {1: ZERO, 2: SECRETS, 3: CPUID, 4: ZERO, HASHES: ZERO}  # 1: memory to validate, 4: SVSM's calling area
# A table of hashes and its entries.
HASH_TABLE = uuid.UUID("9438d606-4f22-4cc9-b479-a793d411fd21")
COMMAND_LINE_HASH = uuid.UUID("97d02dd8-bd20-4c94-aa78-e7714d36ab2a")
INITRD_HASH = uuid.UUID("44baf731-3a2f-4bd7-9af1-41e29169781d")
KERNEL_HASH = uuid.UUID("4de79437-abd2-427f-b835-d5b172d2045b")
RESET_VECTOR = 0xFFFFFFF0

Page = tuple[int, int, bytes | None]  # type, address, content


@dataclass(frozen=True)
class Boot:
    """What QEMU's -kernel, -initrd and -append name."""
    kernel: bytes
    initrd: bytes
    command_line: str

    def hashes(self) -> bytes:
        """As kernel-hashes=on puts them into the guest's memory."""
        contents = {COMMAND_LINE_HASH: self.command_line.encode() + b"\0", INITRD_HASH: self.initrd,
                    KERNEL_HASH: self.kernel}
        entries = b"".join(_named(name, hashlib.sha256(content).digest()) for name, content in contents.items())
        return _named(HASH_TABLE, entries)


def _named(name: uuid.UUID, content: bytes) -> bytes:
    return name.bytes_le + struct.pack("<H", ENTRY + len(content)) + content


def launch_digest(firmware: bytes, cpus: int, signature: int, mce: bool, boot: Boot | None = None) -> str:
    """signature: EAX of CPUID function 1. mce: whether the host's kernel handles machine checks; KVM then sets CR4.MCE
    in its guests' registers. boot: given with kernel-hashes=on."""
    digest = bytes(48)
    for kind, address, content in _pages(firmware, cpus, signature, mce, boot):
        taken = hashlib.sha384(content).digest() if content else bytes(48)
        info = struct.pack("<HBxxxxxQ", 0x70, kind, address)
        digest = hashlib.sha384(digest + taken + info).digest()
    return digest.hex()


def takes_hashes(firmware: bytes) -> bool:
    """Whether it has a page for the hashes of kernel, initrd and command line."""
    return any(kind == HASHES for _, _, kind in _sections(firmware, _table(firmware)))


def _pages(firmware: bytes, cpus: int, signature: int, mce: bool, boot: Boot | None) -> Iterator[Page]:
    """In the order of the launch."""
    base = FOUR_GIB - len(firmware)
    for offset in range(0, len(firmware), PAGE):
        yield NORMAL, base + offset, firmware[offset:offset + PAGE]
    entries = _table(firmware)
    for address, size, kind in _sections(firmware, entries):
        filled = _hashes_section(entries, size, boot) if kind == HASHES and boot else b""
        for offset in range(0, size, PAGE):
            if filled:
                yield NORMAL, address + offset, filled[offset:offset + PAGE]
            else:
                yield SECTION_PAGES[kind], address + offset, None
    (others_start,) = struct.unpack_from("<I", entries[RESET_BLOCK])
    for cpu in range(cpus):
        yield VMSA, VMSA_ADDRESS, _vmsa(others_start if cpu else RESET_VECTOR, signature, mce)


def _hashes_section(entries: dict[uuid.UUID, bytes], size: int, boot: Boot) -> bytes:
    """The firmware says in its table where in the first page the hashes are."""
    if HASHES_AREA not in entries:
        raise BadInput(f"the guest's firmware takes no hashes of its kernel: its table has no {HASHES_AREA}")
    (base,) = struct.unpack_from("<I", entries[HASHES_AREA])
    return (bytes(base % PAGE) + boot.hashes()).ljust(size, b"\0")


def _table(firmware: bytes) -> dict[uuid.UUID, bytes]:
    """Entries are read backwards. The last one is the table itself, whose length is that of all."""
    end = len(firmware) - AFTER_TABLE
    length, name = struct.unpack_from("<H16s", firmware, end - ENTRY) if end > ENTRY else (0, b"")
    if name != TABLE.bytes_le or not ENTRY <= length <= end:
        raise BadInput("the guest's firmware has no table of an OVMF for SEV")
    start, at = end - length, end - ENTRY
    entries = {}
    while at - ENTRY >= start:
        length, name = struct.unpack_from("<H16s", firmware, at - ENTRY)
        if not ENTRY <= length <= at - start:
            raise BadInput("the guest's firmware has a damaged table")
        entries[uuid.UUID(bytes_le=name)] = firmware[at - length:at - ENTRY]
        at -= length
    if missing := {METADATA, RESET_BLOCK} - entries.keys():
        raise BadInput(f"the guest's firmware is no OVMF for SNP: its table has no {missing.pop()}")
    return entries


def _sections(firmware: bytes, entries: dict[uuid.UUID, bytes]) -> list[tuple[int, int, int]]:
    """Address, size and type of the pages that are not the firmware's image."""
    (from_end,) = struct.unpack_from("<I", entries[METADATA])
    magic, _, _, count = struct.unpack_from("<4sIII", firmware, len(firmware) - from_end)
    if magic != b"ASEV":
        raise BadInput("the guest's firmware has damaged metadata for SEV")
    found = [struct.unpack_from("<III", firmware, len(firmware) - from_end + 16 + 12 * i) for i in range(count)]
    if unknown := {kind for _, _, kind in found} - SECTION_PAGES.keys():
        raise BadInput(f"the guest's firmware has metadata of an unknown type, {unknown.pop()}")
    return found


def _vmsa(start: int, signature: int, mce: bool) -> bytes:
    """A CPU after its reset as QEMU leaves it, in the layout of the VMSA (APM vol. 2, appendix B), with what KVM adds:
    EFER.SVME and SNP among the SEV features."""
    page = bytearray(PAGE)
    read_write, code, ldt, tss = 0x93, 0x9B, 0x82, 0x8B
    segments = {0x00: (0, read_write, 0), 0x10: (0xF000, code, start & 0xFFFF0000), 0x20: (0, read_write, 0),
                0x30: (0, read_write, 0), 0x40: (0, read_write, 0), 0x50: (0, read_write, 0), 0x60: (0, 0, 0),
                0x70: (0, ldt, 0), 0x80: (0, 0, 0), 0x90: (0, tss, 0)}
    for offset, (selector, attributes, base) in segments.items():
        struct.pack_into("<HHIQ", page, offset, selector, attributes, 0xFFFF, base)
    registers = {0x0D0: 1 << 12,  # EFER
                 0x148: int(mce) << 6, 0x158: 0x10,  # CR4, CR0
                 0x160: 0x400, 0x168: 0xFFFF0FF0,  # DR7, DR6
                 0x170: 2, 0x178: start & 0xFFFF,  # RFLAGS, RIP
                 0x268: 0x0007040600070406,  # PAT
                 0x310: signature,  # RDX
                 0x3B0: 1, 0x3E8: 1,  # SEV features, XCR0
                 0x408: 0x1F80, 0x410: 0x37F}  # MXCSR, FCW
    for offset, value in registers.items():
        struct.pack_into("<Q", page, offset, value)
    return bytes(page)


def cpu_signature(qemu: Qemu, cpu: str) -> int:
    """EAX of CPUID function 1 of a CPU model, as QEMU's -cpu names it."""
    name, *properties = cpu.split(",")
    numbers = {**_expanded(qemu, name), **dict(word.split("=", 1) for word in properties if "=" in word)}
    family, model, stepping = (int(str(numbers[part]), 0) for part in ("family", "model", "stepping"))
    base = min(family, 0xF)
    return (family - base) << 20 | model >> 4 << 16 | base << 8 | (model & 0xF) << 4 | stepping


def _expanded(qemu: Qemu, name: str) -> dict[str, object]:
    """The properties of a CPU model."""
    asked = [{"execute": "qmp_capabilities"},
             {"execute": "query-cpu-model-expansion", "arguments": {"type": "full", "model": {"name": name}}},
             {"execute": "quit"}]
    done = subprocess.run([*qemu.argv, "-machine", "none", "-accel", "tcg", "-nodefaults", "-display", "none",
                           "-qmp", "stdio"], input="\n".join(map(json.dumps, asked)), capture_output=True,
                          timeout=60, text=True, env=environment(), check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines() if line]
    if problem := next((answer["error"]["desc"] for answer in answers if "error" in answer), ""):
        raise BadInput(f"--cpu {name}: QEMU says: {problem}")
    found = next((answer["return"]["model"]["props"] for answer in answers if answer.get("return")), None)
    if found is None:
        raise Failure(f"QEMU does not describe the CPU model {name}: {last_line(done.stderr)}")
    return found
