# SPDX-License-Identifier: GPL-2.0-or-later
"""Verifies attestation reports, with openssl: the model that made them has no part in it."""
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ..base.errors import OK
from ..base.shell import last_line, output
from . import certificates
from .attestation_report import AttestationReport, tcb_components
from .certificates import ARK, ASK, CHIP_ID, COMPONENTS, VCEK


@dataclass(frozen=True)
class Step:
    name: str
    problem: str  # "" if there is none


@dataclass(frozen=True)
class Expected:
    """What the verifier knows beforehand, in hexadecimal digits; "" if nothing."""
    report_data: str = ""
    measurement: str = ""


def steps(report: AttestationReport, directory: Path, expected: Expected) -> Iterator[Step]:
    """All of them, whether those before have failed or not."""
    yield Step("chain", _chain(directory))
    yield Step("certificate", _certificate(report, directory / VCEK))
    yield Step("signature", _signature(report, directory / VCEK))
    for name, wanted in vars(expected).items():
        if wanted:
            found = getattr(report, name)
            yield Step(name.replace("_", " "), "" if found == wanted.lower() else f"{found}, not {wanted.lower()}")


def _problem(*words: str | Path) -> str:
    status, text, told = output(["openssl", *words])
    return "" if status == OK else last_line(told or text) or f"openssl: status {status}"


def _chain(directory: Path) -> str:
    """The root is the one that is given, and no other that this machine trusts."""
    return _problem("verify", "-no-CApath", "-no-CAstore", "-CAfile", directory / ARK, "-untrusted", directory / ASK,
                    directory / VCEK)


def _certificate(report: AttestationReport, vcek: Path) -> str:
    """The VCEK is that of the report's chip and TCB version."""
    found = certificates.read_extensions(vcek)
    if found.get(CHIP_ID, b"").hex() != report.chip_id:
        return "it is of another chip"
    for name, value in tcb_components(report.reported_tcb, report.family).items():
        if _integer(found.get(COMPONENTS[name], b"")) != value:
            return f"it is of another TCB version: its {name} is not {value}"
    return ""


def _integer(der: bytes) -> int | None:
    """An INTEGER that is short and not negative."""
    return int.from_bytes(der[2:], "big") if der[:1] == b"\x02" and len(der) == 2 + der[1] else None


def _der(tag: int, content: bytes) -> bytes:
    assert len(content) < 0x80
    return bytes((tag, len(content))) + content


def _der_integer(value: int) -> bytes:
    return _der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _signature(report: AttestationReport, vcek: Path) -> str:
    r, s = report.signature
    if report.signed_by != "VCEK":
        return f"signed by {report.signed_by}"
    if max(r, s).bit_length() > 384 or any(report.after_signature):
        return "it is longer than one of P-384"
    with TemporaryDirectory(prefix="rmpopt-") as scratch:
        key, signature, signed = (Path(scratch, name) for name in ("key", "signature", "signed"))
        key.write_text(certificates.openssl("x509", "-in", vcek, "-noout", "-pubkey"))
        signature.write_bytes(_der(0x30, _der_integer(r) + _der_integer(s)))
        signed.write_bytes(report.signed_part)
        return _problem("dgst", "-sha384", "-verify", key, "-signature", signature, signed)
