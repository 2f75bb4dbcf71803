# SPDX-License-Identifier: GPL-2.0-or-later
"""An attestation report as AMD 56860 lays it out, in the versions 2 to 5."""
import struct
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import BadInput

BYTES, SIGNED = 0x4A0, 0x2A0
VERSIONS = range(2, 6)
ZEN5 = 0x1A  # the family from which on TCB versions have another layout and chip ids 8 bytes
# Models of a family from that number on, with the name and the stepping that AMD's certificates have. There is none of
# Zen 6 yet; its name is assumed.
PRODUCTS = {0x19: ((0x00, "Milan-B0"), (0x10, "Genoa-B0")), 0x1A: ((0x00, "Turin-B0"), (0x50, "Venice-B0"))}
NUMBER = 72  # bytes of a number in a signature, least significant first
SIGNED_BY = {0: "VCEK", 1: "VLEK", 7: "nobody"}


@dataclass(frozen=True)
class AttestationReport:
    raw: bytes

    @staticmethod
    def read(path: Path) -> "AttestationReport":
        try:
            raw = path.read_bytes()
        except OSError as problem:
            raise BadInput(f"{path}: {problem.strerror}") from problem
        if len(raw) != BYTES:
            raise BadInput(f"{path} has {len(raw)} bytes, an attestation report has {BYTES}: give what the guest's "
                           "outblob holds, nothing before or after it")
        report = AttestationReport(raw)
        if report.version not in VERSIONS:
            raise BadInput(f"{path} is a report of version {report.version}: known are {VERSIONS[0]} to "
                           f"{VERSIONS[-1]}")
        return report

    def _number(self, offset: int, code: str) -> int:
        return struct.unpack_from("<" + code, self.raw, offset)[0]

    def _hex(self, offset: int, count: int) -> str:
        return self.raw[offset:offset + count].hex()

    @property
    def version(self) -> int:
        return self._number(0, "I")

    @property
    def report_data(self) -> str:
        return self._hex(0x50, 64)

    @property
    def measurement(self) -> str:
        return self._hex(0x90, 48)

    @property
    def family(self) -> int:
        """Of the CPU. Version 2 does not tell it; all that write it are of family 19h."""
        return self.raw[0x188] if self.version > VERSIONS[0] else 0x19

    @property
    def model(self) -> int:
        """Of the CPU; as for the family."""
        return self.raw[0x189] if self.version > VERSIONS[0] else 0

    @property
    def chip_id(self) -> str:
        return self._hex(0x1A0, chip_id_bytes(self.family))

    @property
    def reported_tcb(self) -> int:
        return self._number(0x180, "Q")

    @property
    def signed_by(self) -> str:
        return SIGNED_BY.get(self._number(0x48, "I") >> 2 & 7, "a key that is not known")

    @property
    def signed_part(self) -> bytes:
        return self.raw[:SIGNED]

    @property
    def signature(self) -> tuple[int, int]:
        return tuple(int.from_bytes(self.raw[at:at + NUMBER], "little") for at in (SIGNED, SIGNED + NUMBER))

    @property
    def after_signature(self) -> bytes:
        """Zeros."""
        return self.raw[SIGNED + 2 * NUMBER:]

    def fields(self) -> dict[str, object]:
        """What a verifier wants to see, for a reader."""
        return {"version": self.version, "guest_svn": self._number(4, "I"), "policy": f"{self._number(8, 'Q'):#x}",
                "vmpl": self._number(0x30, "I"), "report_data": self.report_data, "measurement": self.measurement,
                "host_data": self._hex(0xC0, 32), "id_key_digest": self._hex(0xE0, 48),
                "report_id": self._hex(0x140, 32), "chip_id": self.chip_id,
                "reported_tcb": f"{self.reported_tcb:016x}", "platform_info": f"{self._number(0x40, 'Q'):#x}",
                "signed_by": self.signed_by}


def product(family: int, model: int) -> str:
    names = [name for first, name in PRODUCTS.get(family, ()) if first <= model]
    return names[-1] if names else f"Unknown-{family:x}-{model:x}"


def chip_id_bytes(family: int) -> int:
    return 8 if family >= ZEN5 else 64


def tcb_components(tcb: int, family: int) -> dict[str, int]:
    """By their names in AMD's certificates: boot loader, TEE, SNP, microcode and, from Zen 5 on, FMC."""
    parts = tcb.to_bytes(8, "little")
    if family >= ZEN5:
        return {"fmcSPL": parts[0], "blSPL": parts[1], "teeSPL": parts[2], "snpSPL": parts[3], "ucodeSPL": parts[7]}
    return {"blSPL": parts[0], "teeSPL": parts[1], "snpSPL": parts[6], "ucodeSPL": parts[7]}
