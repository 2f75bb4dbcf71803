# SPDX-License-Identifier: GPL-2.0-or-later
"""Certificates and verification of attestation reports: what is right passes, and nothing else does."""
import contextlib
import io
import json
import struct
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from rmpopt_cli.base.errors import OK, VERDICT, BadInput
from rmpopt_cli.cli import parser
from rmpopt_cli.provision.cache import Cache
from rmpopt_cli.snp_guest import certificates
from rmpopt_cli.snp_guest.attestation_report import BYTES, SIGNED, AttestationReport, product, tcb_components
from rmpopt_cli.snp_guest.certificates import ARK, openssl
from rmpopt_cli.snp_guest.verification import Expected, steps

CHIP = bytes(range(1, 65))
TCB = 0xC8_00_00_00_03_01_09_02
DATA, MEASUREMENT = b"D" * 64, b"M" * 48


def unsigned(version: int = 5, family: int = 0x1A, chip: bytes = CHIP[:8], tcb: int = TCB, key_info: int = 0) -> bytes:
    raw = bytearray(BYTES)
    struct.pack_into("<I", raw, 0, version)
    struct.pack_into("<II", raw, 0x34, 1, 0)
    struct.pack_into("<I", raw, 0x48, key_info)
    raw[0x50:0x90], raw[0x90:0xC0] = DATA, MEASUREMENT
    struct.pack_into("<Q", raw, 0x180, tcb)
    raw[0x188] = family if version > 2 else 0
    raw[0x1A0:0x1A0 + len(chip)] = chip
    return bytes(raw)


def integers(der: bytes) -> list[int]:
    """Of a signature: a sequence of two, both short."""
    at, found = 2, []
    while at < len(der):
        length = der[at + 1]
        found.append(int.from_bytes(der[at + 2:at + 2 + length], "big"))
        at += 2 + length
    return found


class Chip:
    """A chip whose private key is here, for the model's."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.key = directory, directory / "key"
        openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", self.key)
        public = directory / "public"
        openssl("ec", "-in", self.key, "-pubout", "-outform", "DER", "-out", public)
        x_and_y = public.read_bytes()[-96:]
        self.known = {"chip_id": CHIP.hex(), "vcek": {"x": x_and_y[:48].hex(), "y": x_and_y[48:].hex()}}

    def signed(self, raw: bytes) -> bytes:
        text, signature = self.directory / "text", self.directory / "signature"
        text.write_bytes(raw[:SIGNED])
        openssl("dgst", "-sha384", "-sign", self.key, "-out", signature, text)
        numbers = b"".join(number.to_bytes(72, "little") for number in integers(signature.read_bytes()))
        return raw[:SIGNED] + numbers + bytes(BYTES - SIGNED - len(numbers))


class AttestationTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.scratch = Path(cls.enterClassContext(TemporaryDirectory()))
        cls.chip = Chip(cls.scratch)
        cls.cache = Cache(cls.scratch / "cache")
        cls.enterClassContext(mock.patch("rmpopt_cli.provision.packages.ensure"))
        cls.enterClassContext(mock.patch.object(certificates, "AUTHORITY_KEY", "rsa:2048"))  # made sooner
        cls.enterClassContext(mock.patch.object(certificates, "_known", lambda cache, version: cls.chip.known))
        cls.enterClassContext(mock.patch("rmpopt_cli.commands.attestation.Cache", lambda: cls.cache))
        cls.enterClassContext(contextlib.redirect_stderr(io.StringIO()))
        cls.good = cls.chip.signed(unsigned())
        cls.directory = cls.scratch / "certificates"
        cls.directory.mkdir()
        cls.write_certificates(cls.good, cls.cache, cls.directory)

    @staticmethod
    def write_certificates(raw: bytes, cache: Cache, directory: Path) -> None:
        certificates.write(cache, certificates.of_report(cache, AttestationReport(raw)), directory)

    def failed(self, raw: bytes, directory: Path | None = None, **expected: str) -> list[str]:
        taken = steps(AttestationReport(raw), directory or self.directory, Expected(**expected))
        return [step.name for step in taken if step.problem]

    def test_what_is_right_passes(self) -> None:
        self.assertEqual(self.failed(self.good), [])
        self.assertEqual(self.failed(self.good, report_data=DATA.hex().upper(), measurement=MEASUREMENT.hex()), [])

    def test_no_flipped_bit_passes(self) -> None:
        for at in (*range(0, SIGNED, 61), 0x50, 0x90, SIGNED - 1, SIGNED, SIGNED + 71, SIGNED + 72, SIGNED + 143,
                   SIGNED + 144, BYTES - 1):
            flipped = bytearray(self.good)
            flipped[at] ^= 1
            self.assertIn("signature", self.failed(bytes(flipped)), at)

    def test_what_is_expected_must_be_there(self) -> None:
        self.assertEqual(self.failed(self.good, report_data="00" * 64), ["report data"])
        self.assertEqual(self.failed(self.good, measurement="00" * 48), ["measurement"])

    def test_the_certificate_is_that_of_chip_and_tcb(self) -> None:
        other_chip = self.chip.signed(unsigned(chip=b"another."))
        self.assertEqual(self.failed(other_chip), ["certificate"])
        for byte in (0, 1, 2, 3, 7):
            older = self.chip.signed(unsigned(tcb=TCB - (1 << 8 * byte)))
            self.assertEqual(self.failed(older), ["certificate"], byte)

    def test_the_chain_leads_to_the_given_root(self) -> None:
        with TemporaryDirectory() as scratch:
            other = Path(scratch)
            self.write_certificates(self.good, Cache(other / "cache"), other)
            (other / ARK).write_bytes((self.directory / ARK).read_bytes())
            self.assertEqual(self.failed(self.good, other), ["chain"])

    def test_only_the_vcek_signs(self) -> None:
        for key in (1, 2, 7):
            self.assertEqual(self.failed(self.chip.signed(unsigned(key_info=key << 2))), ["signature"])

    def test_older_chips_have_long_ids_and_another_tcb(self) -> None:
        raw = self.chip.signed(unsigned(version=2, family=0, chip=CHIP, tcb=0x48_16_00_00_00_00_01_09))
        with TemporaryDirectory() as scratch:
            self.write_certificates(raw, self.cache, Path(scratch))
            self.assertEqual(self.failed(raw, Path(scratch)), [])
            found = certificates.read_extensions(Path(scratch, "vcek.pem"))
        self.assertEqual(found[certificates.CHIP_ID], CHIP)
        self.assertEqual(found[f"{certificates.AMD}.3.3"], b"\x02\x01\x16")
        self.assertNotIn(f"{certificates.AMD}.3.9", found)
        self.assertEqual(found[certificates.PRODUCT], b"\x16\x08Milan-B0")
        for name in certificates.RESERVED_COMPONENTS:
            self.assertEqual(found[name], b"\x02\x01\x00")

    def test_the_product(self) -> None:
        for family, model, name in ((0x19, 0x01, "Milan-B0"), (0x19, 0x11, "Genoa-B0"), (0x1A, 0x02, "Turin-B0"),
                                    (0x1A, 0x50, "Venice-B0"), (0x17, 0x31, "Unknown-17-31")):
            self.assertEqual(product(family, model), name)

    def test_only_amds_extensions(self) -> None:
        text = openssl("x509", "-in", self.directory / "vcek.pem", "-noout", "-text")
        self.assertIn(certificates.CHIP_ID, text)
        self.assertNotIn("Key Identifier", text)

    def test_the_table_for_guests(self) -> None:
        table = certificates.table(self.directory)
        for i, name in enumerate(("ark", "ask", "vcek")):
            guid, at, length = struct.unpack_from("<16sII", table, 24 * i)
            self.assertEqual(guid, certificates.GUIDS[f"{name}.pem"].bytes_le)
            der = self.scratch / "der"
            der.write_bytes(table[at:at + length])
            subject = openssl("x509", "-inform", "DER", "-in", der, "-noout", "-subject")
            self.assertIn("CN = " + {"ark": "ARK-", "ask": "SEV-rmpopt", "vcek": "SEV-VCEK"}[name], subject)
        self.assertEqual(table[72:96], bytes(24))
        self.assertEqual(len(table), at + length)

    def test_the_chip_of_a_boot(self) -> None:
        for family, digits in ((0x1A, 16), (0x19, 128)):
            known = {**self.chip.known, "family": family, "model": 0, "tcb": TCB}
            with mock.patch.object(certificates, "_known", lambda cache, version, known=known: known):
                chip = certificates.of_persona(self.cache, "any")
            self.assertEqual((chip.chip_id, chip.tcb, chip.family), (CHIP.hex()[:digits], TCB, family))

    def test_tcb_components(self) -> None:
        self.assertEqual(tcb_components(TCB, 0x1A),
                         {"fmcSPL": 2, "blSPL": 9, "teeSPL": 1, "snpSPL": 3, "ucodeSPL": 200})

    # The commands

    def run_command(self, *words: str | Path) -> tuple[int, str]:
        arguments = parser().parse_args(["guest", *map(str, words)])
        with contextlib.redirect_stdout(io.StringIO()) as out:
            return arguments.action(arguments), out.getvalue()

    def write(self, raw: bytes) -> Path:
        path = self.scratch / "report"
        path.write_bytes(raw)
        return path

    def test_verify_says_what_failed(self) -> None:
        path = self.write(self.good)
        self.assertEqual(self.run_command("verify", path),
                         (OK, "ok      chain\nok      certificate\nok      signature\n"))
        given = ("verify", path, "--certificates", self.directory)
        self.assertEqual(self.run_command(*given)[0], OK)
        status, text = self.run_command(*given, "--report-data", "0" * 128, "--json")
        told = json.loads(text)
        self.assertEqual((status, told["verified"], told["report"]["measurement"]), (VERDICT, False, MEASUREMENT.hex()))
        self.assertEqual([step["step"] for step in told["steps"] if not step["ok"]], ["report data"])

    def test_certificates_are_written(self) -> None:
        where = self.scratch / "new" / "directory"
        self.assertEqual(self.run_command("certificates", self.write(self.good), where)[0], OK)
        self.assertEqual(sorted(path.name for path in where.iterdir()), ["ark.pem", "ask.pem", "vcek.pem"])
        self.assertIn("not AMD's", openssl("x509", "-in", where / ARK, "-noout", "-subject"))

    def test_verify_takes_what_the_guest_was_given(self) -> None:
        path, blob = self.write(self.good), self.scratch / "blob"
        blob.write_bytes(certificates.table(self.directory))
        self.assertEqual(self.run_command("verify", path, "--certificates", blob)[0], OK)
        with TemporaryDirectory() as scratch:  # of somebody else's chain, with its root
            other = Path(scratch)
            self.write_certificates(self.good, Cache(other / "cache"), other)
            blob.write_bytes(certificates.table(other))
        status, text = self.run_command("verify", path, "--certificates", blob)
        self.assertEqual((status, text.split()[:2]), (VERDICT, ["FAILED", "chain:"]))
        for wrong in (bytes(24), certificates.table(self.directory)[24:], certificates.table(self.directory)[:-1]):
            blob.write_bytes(wrong)
            with self.assertRaisesRegex(BadInput, "lack"):
                self.run_command("verify", path, "--certificates", blob)

    def test_bad_input(self) -> None:
        other_chip = self.write(self.chip.signed(unsigned(chip=b"another.")))
        with self.assertRaisesRegex(BadInput, "not of the emulated one"):
            self.run_command("verify", other_chip)
        with self.assertRaisesRegex(BadInput, "1183 bytes"):
            self.run_command("verify", self.write(self.good[1:]))
        with self.assertRaisesRegex(BadInput, "version 6"):
            self.run_command("verify", self.write(unsigned(version=6)))
        good = self.write(self.good)
        for words, why in ((("--report-data", "xy"), "128 hexadecimal"), (("--certificates", self.scratch), "no ark"),
                           (("--measurement", "0" * 95), "96 hexadecimal")):
            with self.assertRaisesRegex(BadInput, why):
                self.run_command("verify", good, *words)
        with self.assertRaisesRegex(BadInput, "No such file"):
            self.run_command("verify", self.scratch / "absent")


if __name__ == "__main__":
    unittest.main()
