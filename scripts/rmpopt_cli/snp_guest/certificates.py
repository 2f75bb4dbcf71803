# SPDX-License-Identifier: GPL-2.0-or-later
"""Certificates for the emulated chip, as AMD's key distribution service has them for real ones: a root (ARK), one that
it signs (ASK), and for each TCB version of the chip one (VCEK) with AMD's extensions (AMD 57230). Root and ASK are made
once, and are ours: nobody who trusts AMD's root trusts them."""
import base64
import json
import re
import struct
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..base.console import say
from ..base.errors import OK, BadInput, Failure
from ..base.paths import BUILD
from ..base.shell import last_line, output
from ..provision import packages, project
from ..provision.cache import Cache
from .attestation_report import AttestationReport, chip_id_bytes, product, tcb_components

TOOL = Path("hw-model", "tools", "rmpopt-chip")
KIND, KEY = "attestation", "2"
ARK, ASK, VCEK = "ark.pem", "ask.pem", "vcek.pem"
NAMES = (ARK, ASK, VCEK)
GUIDS = {ARK: uuid.UUID("c0b406a4-a803-4952-9743-3fb6014cd0ae"), ASK: uuid.UUID("4ab7b379-bbac-4fe4-a02f-05aef327c782"),
         VCEK: uuid.UUID("63da758d-e664-4564-adc5-f4b93be8accd")}
ENTRY = "<16sII"  # GUID, offset, length
AUTHORITY_KEY = "rsa:4096"
DAYS = "9125"
SIGNING = ("-sha384", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:48", "-days", DAYS)
AUTHORITY = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
NO_KEY_IDENTIFIERS = ("subjectKeyIdentifier=none", "authorityKeyIdentifier=none")  # AMD's VCEKs have none
PUBLIC_P384 = bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004")  # DER in front of x and y
AMD = "1.3.6.1.4.1.3704.1"
COMPONENTS = {"blSPL": f"{AMD}.3.1", "teeSPL": f"{AMD}.3.2", "snpSPL": f"{AMD}.3.3", "ucodeSPL": f"{AMD}.3.8",
              "fmcSPL": f"{AMD}.3.9"}
RESERVED_COMPONENTS = tuple(f"{AMD}.3.{number}" for number in range(4, 8))
STRUCTURE, PRODUCT = f"{AMD}.1", f"{AMD}.2"
CHIP_ID = f"{AMD}.4"


def openssl(*words: str | Path) -> str:
    """What it prints; it has to succeed."""
    status, text, told = output(["openssl", *words])
    if status != OK:
        raise Failure(f"openssl {words[0]}: {last_line(told or text)}")
    return text


def _subject(name: str) -> tuple[str, str]:
    """By the common name, tools tell which certificate it is. AMD's have a product where ours have rmpopt."""
    return "-subj", f"/O=rmpopt/OU=emulated, not AMD's/CN={name}"


def _authorities(cache: Cache) -> Path:
    """The directory with ARK, ASK and their private keys."""
    def make(where: Path) -> None:
        say("making root certificates of our own")
        extensions = where / "extensions"
        extensions.write_text(AUTHORITY)
        for name, common_name in (("ark", "ARK-rmpopt"), ("ask", "SEV-rmpopt")):
            key, ark_key = where / f"{name}.key", where / "ark.key"
            signer = ("-signkey", ark_key) if key == ark_key else ("-CA", where / ARK, "-CAkey", ark_key)
            openssl("req", "-newkey", AUTHORITY_KEY, "-nodes", *_subject(common_name), "-keyout", key,
                    "-out", where / "request")
            openssl("x509", "-req", "-in", where / "request", *signer, *SIGNING, "-extfile", extensions,
                    "-out", where / f"{name}.pem")
        (where / "request").unlink()
        extensions.unlink()
    return cache.ensure(KIND, KEY, make)


@dataclass(frozen=True)
class Endorsed:
    """A chip with a TCB version, and its key."""
    chip_id: str
    tcb: int
    family: int
    product: str
    key: str

    def extensions(self) -> Iterable[str]:
        yield from NO_KEY_IDENTIFIERS
        yield f"{STRUCTURE}=ASN1:INTEGER:0"
        yield f"{PRODUCT}=ASN1:IA5STRING:{self.product}"
        for name, value in tcb_components(self.tcb, self.family).items():
            yield f"{COMPONENTS[name]}=ASN1:INTEGER:{value}"
        for name in RESERVED_COMPONENTS:
            yield f"{name}=ASN1:INTEGER:0"
        yield f"{CHIP_ID}=DER:{self.chip_id}"


def _known(cache: Cache, version: str) -> dict:
    """What the model tells of its chip, for a TCB version or a CPU model."""
    cache.prepare()
    packages.ensure(cache)
    project.build(cache, [TOOL])
    status, text, told = output([BUILD / TOOL, version])
    if status != OK:
        raise Failure(f"{TOOL}: {last_line(told)}")
    return json.loads(text)


def _public_key(known: dict) -> str:
    der = PUBLIC_P384 + bytes.fromhex(known["vcek"]["x"] + known["vcek"]["y"])
    return f"-----BEGIN PUBLIC KEY-----\n{base64.encodebytes(der).decode()}-----END PUBLIC KEY-----\n"


def of_report(cache: Cache, report: AttestationReport) -> Endorsed:
    """The emulated chip when it signed the report."""
    known = _known(cache, f"{report.reported_tcb:x}")
    if not known["chip_id"].startswith(report.chip_id):
        raise BadInput(f"the report is of chip {report.chip_id[:16]}..., not of the emulated one: give the "
                       "certificates of that chip with --certificates")
    return Endorsed(report.chip_id, report.reported_tcb, report.family, product(report.family, report.model),
                    _public_key(known))


def of_persona(cache: Cache, persona: str) -> Endorsed:
    """The emulated chip as a boot finds it."""
    known = _known(cache, persona)
    return Endorsed(known["chip_id"][:2 * chip_id_bytes(known["family"])], known["tcb"], known["family"],
                    product(known["family"], known["model"]), _public_key(known))


def write(cache: Cache, chip: Endorsed, directory: Path) -> None:
    """All that belong to the chip."""
    authorities = _authorities(cache)
    key, extensions = directory / "vcek.key", directory / "extensions"
    key.write_text(chip.key)
    extensions.write_text("\n".join(chip.extensions()) + "\n")
    openssl("x509", "-new", "-force_pubkey", key, *_subject("SEV-VCEK"), "-CA", authorities / ASK,
            "-CAkey", authorities / "ask.key", *SIGNING, "-extfile", extensions, "-out", directory / VCEK)
    key.unlink()
    extensions.unlink()
    for name in (ARK, ASK):
        (directory / name).write_bytes((authorities / name).read_bytes())


def table(directory: Path) -> bytes:
    """The certificates as the extended guest request gives them to a guest (AMD 56421): a table, then their DER."""
    contents = {name: base64.b64decode("".join((directory / name).read_text().split("-----")[2].split()))
                for name in NAMES}
    entries, at = b"", (len(NAMES) + 1) * struct.calcsize(ENTRY)
    for name, content in contents.items():
        entries += struct.pack(ENTRY, GUIDS[name].bytes_le, at, len(content))
        at += len(content)
    return entries + bytes(struct.calcsize(ENTRY)) + b"".join(contents.values())


def unpack(blob: bytes, directory: Path) -> None:
    """Writes those of such a table; one without all of them is refused."""
    names = {guid.bytes_le: name for name, guid in GUIDS.items()}
    found, size = {}, struct.calcsize(ENTRY)
    for guid, at, length in struct.iter_unpack(ENTRY, blob[:len(blob) // size * size]):
        if not any(guid):
            break
        if guid in names and at + length <= len(blob):
            found[names[guid]] = blob[at:at + length]
    if missing := [name for name in NAMES if not found.get(name)]:
        raise BadInput(f"the certificates from the guest lack {' and '.join(missing)}")
    for name, der in found.items():
        (directory / name).write_text(f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}"
                                      "-----END CERTIFICATE-----\n")


def own_root(cache: Cache) -> bytes:
    return (_authorities(cache) / ARK).read_bytes()


def read_extensions(certificate: Path) -> dict[str, bytes]:
    """AMD's extensions of a certificate, by their identifiers."""
    text = openssl("asn1parse", "-in", certificate)
    found = re.findall(rf"OBJECT +:({re.escape(AMD)}[.\d]*)\n.*OCTET STRING +\[HEX DUMP\]:([0-9A-F]*)", text)
    return {name: bytes.fromhex(digits) for name, digits in found}
