# SPDX-License-Identifier: GPL-2.0-or-later
"""Certificates for the emulated chip, as AMD's key distribution service has them for real ones: a root (ARK), one that
it signs (ASK), and for each TCB version of the chip one (VCEK) with AMD's extensions (AMD 57230). Root and ASK are made
once, and are ours: nobody who trusts AMD's root trusts them."""
import base64
import json
import re
from collections.abc import Iterable
from pathlib import Path

from ..base.console import say
from ..base.errors import OK, BadInput, Failure
from ..base.paths import BUILD
from ..base.shell import last_line, output
from ..provision import packages, project
from ..provision.cache import Cache
from .attestation_report import AttestationReport, tcb_components

TOOL = Path("hw-model", "tools", "rmpopt-chip")
KIND, KEY = "attestation", "1"
ARK, ASK, VCEK = "ark.pem", "ask.pem", "vcek.pem"
NAMES = (ARK, ASK, VCEK)
AUTHORITY_KEY = "rsa:4096"
DAYS = "9125"
SIGNING = ("-sha384", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:48", "-days", DAYS)
AUTHORITY = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
PUBLIC_P384 = bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004")  # DER in front of x and y
AMD = "1.3.6.1.4.1.3704.1"
COMPONENTS = {"blSPL": f"{AMD}.3.1", "teeSPL": f"{AMD}.3.2", "snpSPL": f"{AMD}.3.3", "ucodeSPL": f"{AMD}.3.8",
              "fmcSPL": f"{AMD}.3.9"}
CHIP_ID = f"{AMD}.4"


def openssl(*words: str | Path) -> str:
    """What it prints; it has to succeed."""
    status, text, told = output(["openssl", *words])
    if status != OK:
        raise Failure(f"openssl {words[0]}: {last_line(told or text)}")
    return text


def _subject(name: str) -> tuple[str, str]:
    return "-subj", f"/O=rmpopt/OU=emulated, not AMD's/CN={name} of rmpopt"


def _authorities(cache: Cache) -> Path:
    """The directory with ARK, ASK and their private keys."""
    def make(where: Path) -> None:
        say("making root certificates of our own")
        extensions = where / "extensions"
        extensions.write_text(AUTHORITY)
        for name in ("ark", "ask"):
            key, ark_key = where / f"{name}.key", where / "ark.key"
            signer = ("-signkey", ark_key) if key == ark_key else ("-CA", where / ARK, "-CAkey", ark_key)
            openssl("req", "-newkey", AUTHORITY_KEY, "-nodes", *_subject(name.upper()), "-keyout", key,
                    "-out", where / "request")
            openssl("x509", "-req", "-in", where / "request", *signer, *SIGNING, "-extfile", extensions,
                    "-out", where / f"{name}.pem")
        (where / "request").unlink()
        extensions.unlink()
    return cache.ensure(KIND, KEY, make)


def _chip(tcb: int) -> dict:
    """What the model knows of its chip."""
    status, text, told = output([BUILD / TOOL, f"{tcb:x}"])
    if status != OK:
        raise Failure(f"{TOOL}: {last_line(told)}")
    return json.loads(text)


def _public_key(chip: dict) -> str:
    der = PUBLIC_P384 + bytes.fromhex(chip["vcek"]["x"] + chip["vcek"]["y"])
    return f"-----BEGIN PUBLIC KEY-----\n{base64.encodebytes(der).decode()}-----END PUBLIC KEY-----\n"


def _extensions(report: AttestationReport) -> Iterable[str]:
    yield f"{AMD}.1=ASN1:INTEGER:0"
    for name, value in tcb_components(report.reported_tcb, report.family).items():
        yield f"{COMPONENTS[name]}=ASN1:INTEGER:{value}"
    yield f"{CHIP_ID}=DER:{report.chip_id}"


def write(cache: Cache, report: AttestationReport, directory: Path) -> None:
    """The certificates that belong to the report's chip and TCB version."""
    cache.prepare()
    packages.ensure(cache)
    project.build(cache, [TOOL])
    chip = _chip(report.reported_tcb)
    if not chip["chip_id"].startswith(report.chip_id):
        raise BadInput(f"the report is of chip {report.chip_id[:16]}..., not of the emulated one: give the "
                       "certificates of that chip with --certificates")
    authorities = _authorities(cache)
    key, extensions = directory / "vcek.key", directory / "extensions"
    key.write_text(_public_key(chip))
    extensions.write_text("\n".join(_extensions(report)) + "\n")
    openssl("x509", "-new", "-force_pubkey", key, *_subject("VCEK"), "-CA", authorities / ASK,
            "-CAkey", authorities / "ask.key", *SIGNING, "-extfile", extensions, "-out", directory / VCEK)
    key.unlink()
    extensions.unlink()
    for name in (ARK, ASK):
        (directory / name).write_bytes((authorities / name).read_bytes())


def read_extensions(certificate: Path) -> dict[str, bytes]:
    """AMD's extensions of a certificate, by their identifiers."""
    text = openssl("asn1parse", "-in", certificate)
    found = re.findall(rf"OBJECT +:({re.escape(AMD)}[.\d]*)\n.*OCTET STRING +\[HEX DUMP\]:([0-9A-F]*)", text)
    return {name: bytes.fromhex(digits) for name, digits in found}
