# SPDX-License-Identifier: GPL-2.0-or-later
"""The launch digest of a guest, of a small firmware. That a real launch has the same is a system test."""
import hashlib
import struct
import unittest
import uuid
from dataclasses import replace
from unittest import mock

from rmpopt_cli.base.errors import BadInput
from rmpopt_cli.snp_guest import measurement
from rmpopt_cli.snp_guest.measurement import HASHES_AREA, METADATA, PAGE, RESET_BLOCK, TABLE, Boot, launch_digest, \
    takes_hashes

SECTIONS = ((0x800000, 0x1000, 1), (0x80D000, 0x1000, 2), (0x80E000, 0x1000, 3))
SIGNATURE = 0x800F12
HASHES_AT = 0x80F040
WITH_HASHES = {"sections": (*SECTIONS, (0x80F000, 0x1000, 0x10)), "names": (METADATA, RESET_BLOCK, HASHES_AREA)}
BOOT = Boot(b"kernel", b"initrd", "console=ttyS0")


def entry(name: uuid.UUID, content: bytes) -> bytes:
    return content + struct.pack("<H", len(content) + 18) + name.bytes_le


def firmware(sections: tuple[tuple[int, int, int], ...] = SECTIONS, metadata_at: int = 0x100,
             names: tuple[uuid.UUID, ...] = (METADATA, RESET_BLOCK)) -> bytes:
    image = bytearray(b"\x90" * 2 * PAGE)
    contents = {METADATA: struct.pack("<I", len(image) - metadata_at), RESET_BLOCK: struct.pack("<I", 0xFFC0B004),
                HASHES_AREA: struct.pack("<II", HASHES_AT, 0x400)}
    table = b"".join(entry(name, contents[name]) for name in names)
    table += struct.pack("<H", len(table) + 18) + TABLE.bytes_le
    image[-32 - len(table):-32] = table
    header = struct.pack("<4sIII", b"ASEV", 16 + 12 * len(sections), 1, len(sections))
    described = header + b"".join(struct.pack("<III", *section) for section in sections)
    image[metadata_at:metadata_at + len(described)] = described
    return bytes(image)


def chained(*pages: tuple[int, int, bytes | None]) -> str:
    digest = bytes(48)
    for kind, address, content in pages:
        of_content = hashlib.sha384(content).digest() if content is not None else bytes(48)
        digest = hashlib.sha384(digest + of_content + b"\x70\0" + bytes((kind, 0, 0, 0, 0, 0)) +
                                address.to_bytes(8, "little")).digest()
    return digest.hex()


class MeasurementTest(unittest.TestCase):
    def test_is_the_chain_of_all_pages(self) -> None:
        image = firmware()
        boot = measurement._vmsa(0xFFFFFFF0, SIGNATURE, True)
        other = measurement._vmsa(0xFFC0B004, SIGNATURE, True)
        self.assertEqual(launch_digest(image, 3, SIGNATURE, True),
                         chained((1, 0xFFFFE000, image[:PAGE]), (1, 0xFFFFF000, image[PAGE:]), (3, 0x800000, None),
                                 (5, 0x80D000, None), (6, 0x80E000, None), (2, 0xFFFFFFFFF000, boot),
                                 (2, 0xFFFFFFFFF000, other), (2, 0xFFFFFFFFF000, other)))

    def test_hashes_of_what_is_booted(self) -> None:
        """The page as QEMU's source describes it: 168 bytes where the firmware wants them, zeros around."""
        image = firmware(**WITH_HASHES)
        found = uuid.UUID("9438d606-4f22-4cc9-b479-a793d411fd21").bytes_le + b"\xa8\0"
        for name, content in (("97d02dd8-bd20-4c94-aa78-e7714d36ab2a", b"console=ttyS0\0"),
                              ("44baf731-3a2f-4bd7-9af1-41e29169781d", b"initrd"),
                              ("4de79437-abd2-427f-b835-d5b172d2045b", b"kernel")):
            found += uuid.UUID(name).bytes_le + b"\x32\0" + hashlib.sha256(content).digest()
        before = ((1, 0xFFFFE000, image[:PAGE]), (1, 0xFFFFF000, image[PAGE:]), (3, 0x800000, None),
                  (5, 0x80D000, None), (6, 0x80E000, None))
        cpu = (2, 0xFFFFFFFFF000, measurement._vmsa(0xFFFFFFF0, SIGNATURE, True))
        self.assertEqual(launch_digest(image, 1, SIGNATURE, True, BOOT),
                         chained(*before, (1, 0x80F000, (bytes(0x40) + found).ljust(PAGE, b"\0")), cpu))
        self.assertEqual(launch_digest(image, 1, SIGNATURE, True), chained(*before, (3, 0x80F000, None), cpu))

    def test_each_part_of_what_is_booted_counts(self) -> None:
        image = firmware(**WITH_HASHES)
        boots = (None, BOOT, replace(BOOT, kernel=b"kernel2"), replace(BOOT, initrd=b""),
                 replace(BOOT, command_line="console=ttyS0 "))
        self.assertEqual(len({launch_digest(image, 1, SIGNATURE, True, boot) for boot in boots}), len(boots))

    def test_who_takes_hashes(self) -> None:
        self.assertTrue(takes_hashes(firmware(**WITH_HASHES)))
        self.assertFalse(takes_hashes(firmware()))
        with self.assertRaisesRegex(BadInput, "takes no hashes"):
            launch_digest(firmware(WITH_HASHES["sections"]), 1, SIGNATURE, True, BOOT)

    def test_a_cpu_starts_where_the_firmware_says(self) -> None:
        page = measurement._vmsa(0xFFC0B004, SIGNATURE, False)
        self.assertEqual(struct.unpack_from("<HHIQ", page, 0x10), (0xF000, 0x9B, 0xFFFF, 0xFFC00000))
        self.assertEqual(struct.unpack_from("<Q", page, 0x178), (0xB004,))
        self.assertEqual(struct.unpack_from("<Q", page, 0x310), (SIGNATURE,))
        self.assertEqual(page[0x148], 0)
        self.assertEqual(measurement._vmsa(0, 0, True)[0x148], 0x40)

    def test_all_of_it_counts(self) -> None:
        changed = bytearray(firmware())
        changed[0x10] ^= 1
        digests = {launch_digest(firmware(), 1, SIGNATURE, True), launch_digest(firmware(), 2, SIGNATURE, True),
                   launch_digest(firmware(), 1, SIGNATURE + 1, True), launch_digest(firmware(), 1, SIGNATURE, False),
                   launch_digest(bytes(changed), 1, SIGNATURE, True),
                   launch_digest(firmware(SECTIONS[:2]), 1, SIGNATURE, True)}
        self.assertEqual(len(digests), 6)

    def test_refuses_what_is_no_firmware_for_snp(self) -> None:
        damaged = bytearray(firmware())
        damaged[0x100] ^= 1
        too_long = bytearray(firmware())
        too_long[-32 - 18:-32 - 16] = b"\xff\xff"
        for image, why in ((b"", "no table"), (bytes(2 * PAGE), "no table"), (bytes(too_long), "no table"),
                           (firmware(names=(METADATA,)), "no OVMF for SNP"), (bytes(damaged), "damaged metadata"),
                           (firmware(((0x800000, 0x1000, 9),)), "unknown type, 9")):
            with self.assertRaisesRegex(BadInput, why):
                launch_digest(image, 1, SIGNATURE, True)

    def test_signature_of_a_cpu_model(self) -> None:
        for numbers, cpu, signature in (({"family": 23, "model": 1, "stepping": 2}, "EPYC-v4,-xsave", 0x800F12),
                                        ({"family": 25, "model": 17, "stepping": 0}, "EPYC-Genoa", 0xA10F10),
                                        ({"family": 6, "model": 15, "stepping": 1}, "x,stepping=3,level=11", 0x6F3)):
            with mock.patch.object(measurement, "_expanded", lambda qemu, name, n=numbers: n):
                self.assertEqual(measurement.cpu_signature(None, cpu), signature)


if __name__ == "__main__":
    unittest.main()
