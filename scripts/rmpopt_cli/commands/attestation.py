# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs of the guest command that are about attestation: measure, certificates and verify."""
import argparse
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ..base import options
from ..base.errors import OK, VERDICT, BadInput
from ..guest.initramfs import busybox
from ..provision import given_kernel, image, packages, qemu, snp_userland
from ..provision.cache import Cache
from ..snp_guest import certificates, firmware, guest, measurement
from ..snp_guest.attestation_report import AttestationReport
from ..snp_guest.guest import SnpGuest
from ..snp_guest.verification import Expected, Step, steps

DIGITS = {"--report-data": 128, "--measurement": 96}


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser("measure", help="print the launch digest that a guest of 'guest boot' must have",
                              usage="rmpopt guest measure [options] [-- COMMAND...]")
    options.add(parser, SnpGuest)
    parser.add_argument("--host-kernel", default="", metavar="KERNEL", help="kernel of the emulated host: as for boot")
    parser.add_argument("words", nargs="*", metavar="COMMAND",
                        help="as for guest boot; a part of the initrd, which only some firmware measures")
    parser.set_defaults(action=_measure)
    parser = verbs.add_parser("certificates", help="write the certificates that belong to an attestation report")
    parser.add_argument("report", type=Path, metavar="REPORT", help="the report, as the guest got it")
    parser.add_argument("directory", type=Path, metavar="DIR", help="where to write ark.pem, ask.pem and vcek.pem")
    parser.set_defaults(action=_certificates)
    parser = verbs.add_parser("verify", help="verify an attestation report")
    parser.add_argument("report", type=Path, metavar="REPORT", help="the report, as the guest got it")
    parser.add_argument("--certificates", type=Path, metavar="PATH",
                        help="directory with ark.pem, which is trusted, ask.pem and vcek.pem; or what the guest's "
                             "auxblob holds, whose root must be our own (default: those of the emulated chip)")
    parser.add_argument("--report-data", default="", metavar="HEX", help="what the guest was to put into the report")
    parser.add_argument("--measurement", default="", metavar="HEX", help="the launch digest that the guest must have")
    parser.add_argument("--json", action="store_true", help="print the verdict and the report's fields as JSON")
    parser.set_defaults(action=_verify)


def _measure(arguments: argparse.Namespace) -> int:
    """QEMU's userland is the one that starts the guest. A kernel of which nothing is known handles machine checks, as
    those of distributions do."""
    inner = SnpGuest(**options.given(arguments, SnpGuest), command=guest.command_of(arguments.words))
    inner.check()
    given_kernel.check(inner.kernel)
    given_kernel.check(arguments.host_kernel)
    cache = Cache()
    root = snp_userland.ensure(cache, busybox())
    signature = measurement.cpu_signature(qemu.private(root.parent), inner.cpu)
    mce = given_kernel.find(cache, arguments.host_kernel).options.get("CONFIG_X86_MCE", "y") == "y"
    content = firmware.find(cache, inner.firmware, root).read_bytes()
    boot = _measured_boot(cache, inner) if firmware.takes_hashes(inner.firmware) else None
    print(measurement.launch_digest(content, inner.smp, signature, mce, boot))
    return OK


def _measured_boot(cache: Cache, inner: SnpGuest) -> measurement.Boot:
    kernel = given_kernel.find(cache, inner.kernel)
    return measurement.Boot(kernel.image.read_bytes(), inner.initrd_for(kernel), inner.command_line())


def _certificates(arguments: argparse.Namespace) -> int:
    cache = Cache()
    chip = certificates.of_report(cache, AttestationReport.read(arguments.report))
    arguments.directory.mkdir(parents=True, exist_ok=True)
    certificates.write(cache, chip, arguments.directory)
    return OK


@contextmanager
def _directory(given: Path | None, report: AttestationReport) -> Iterator[Path]:
    """With the certificates to verify by."""
    cache = Cache()
    packages.ensure(cache)
    if given and given.is_dir():
        for name in certificates.NAMES:
            if not (given / name).is_file():
                raise BadInput(f"--certificates: no {name} in {given}")
        yield given
        return
    with TemporaryDirectory(prefix="rmpopt-") as scratch:
        directory = Path(scratch)
        if given:
            image.check_readable(given, "--certificates")
            certificates.unpack(given.read_bytes(), directory)
            (directory / certificates.ARK).write_bytes(certificates.own_root(cache))
        else:
            certificates.write(cache, certificates.of_report(cache, report), directory)
        yield directory


def _hexadecimal(flag: str, text: str) -> str:
    count = DIGITS[flag]
    if text and not re.fullmatch(rf"[0-9a-fA-F]{{{count}}}", text):
        raise BadInput(f"{flag}: give {count} hexadecimal digits")
    return text


def _verify(arguments: argparse.Namespace) -> int:
    expected = Expected(_hexadecimal("--report-data", arguments.report_data),
                        _hexadecimal("--measurement", arguments.measurement))
    report = AttestationReport.read(arguments.report)
    with _directory(arguments.certificates, report) as directory:
        taken = list(steps(report, directory, expected))
    verified = all(not step.problem for step in taken)
    if arguments.json:
        print(json.dumps({"schema": 1, "verified": verified, "steps": [_described(step) for step in taken],
                          "report": report.fields()}, indent=1))
    else:
        print("\n".join(f"{'FAILED' if step.problem else 'ok':8}{step.name}{step.problem and f': {step.problem}'}"
                        for step in taken))
    return OK if verified else VERDICT


def _described(step: Step) -> dict[str, object]:
    return {"step": step.name, "ok": not step.problem, **({"problem": step.problem} if step.problem else {})}
