# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest command: an SNP guest inside the emulated host."""
import argparse
import shlex
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from ..base import options
from ..base.console import note
from ..base.errors import SETUP_FAILED, VERDICT, BadInput, Failure
from ..base.parser import Parser
from ..base.paths import BUILD
from ..base.shell import last_line
from ..guest import linux
from ..guest.brought import Share
from ..guest.initramfs import busybox
from ..guest.machine import MachineOptions
from ..guest.request import Request
from ..guest.view import View
from ..guest.workspace import LEFT_BY_GUEST
from ..provision import given_kernel, project, snp_userland
from ..provision.cache import Cache
from ..snp_guest import certificates, firmware, guest
from ..snp_guest.guest import SnpGuest
from . import attestation

USAGE = "rmpopt guest boot [options] [-- COMMAND...]"
LIBRARY = Path("guest-tests", guest.PRELOADED)


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verbs = commands.add_parser("guest", help="run an SNP guest inside the emulated host, verify what it attests"
                                ).add_subparsers(dest="verb", required=True, metavar="VERB")
    parser = verbs.add_parser("boot", help="boot Linux as an SNP guest", usage=USAGE)
    options.add(parser, SnpGuest)
    parser.add_argument("--host", default="", metavar="OPTIONS", help="options of 'rmpopt boot' for the emulated host, "
                        "such as '--smp 8 --watch-fatal --report DIR'")
    parser.add_argument("--dry-run", action="store_true", help="print the QEMU command that the emulated host executes")
    parser.add_argument("words", nargs="*", metavar="COMMAND",
                        help="run this in the guest and return its status (default: show what Linux says of SEV)")
    parser.set_defaults(action=_guest)
    attestation.add(verbs)


def _host(words: str) -> Request:
    """The emulated host as --host describes it."""
    parser = Parser(prog="rmpopt guest boot --host", add_help=False)
    options.add(parser, Request)
    options.add(parser, MachineOptions)
    given = parser.parse_args(shlex.split(words))
    request = Request(**options.given(given, Request), machine=MachineOptions(**options.given(given, MachineOptions)))
    if request.root or request.shell:
        raise BadInput("--host: --root and --shell are not for the host of a guest")
    return request


def _guest(arguments: argparse.Namespace) -> int:
    inner = SnpGuest(**options.given(arguments, SnpGuest), command=guest.command_of(arguments.words))
    inner.check()
    request = _host(arguments.host)
    given_kernel.check(inner.kernel)
    if arguments.dry_run:
        print(shlex.join(inner.qemu_command()))
        return 0
    cache = Cache()
    kernel = given_kernel.find(cache, inner.kernel)
    root = snp_userland.ensure(cache, busybox())
    with tempfile.TemporaryDirectory(prefix="rmpopt-") as scratch:
        directory = Path(scratch)
        inner.write_files(directory, kernel)
        firmware.write(cache, inner.firmware, directory)
        if inner.certificates:
            _write_certificates(cache, request.machine.persona, directory)
        seeded = request.machine.seed is not None
        request = (_with_archive if seeded else _with_share)(request, directory, root)
        result = linux.boot(cache, request, View(request))
        report = Path(result["report"])
        if not seeded:
            _copy_left(directory, report)
        return _status(result, report)


def _with_share(request: Request, directory: Path, userland: Path) -> Request:
    share = Share(directory, guest.MOUNT, writable=True)
    return replace(request, root=userland, shares=[*request.shares, share], kept=_left_in(guest.MOUNT),
                   command=guest.RUN)


def _with_archive(request: Request, directory: Path, userland: Path) -> Request:
    """How long a share takes depends on this machine. The host with a seed has all in its memory."""
    return replace(request, files=[*request.files, guest.pack(directory, userland)],
                   kept=_left_in(guest.TOP + guest.MOUNT),
                   command=f"{guest.UNPACK} || exit {SETUP_FAILED}\n{guest.RUN_UNPACKED}")


def _left_in(directory: str) -> list[Path]:
    return [Path(directory, name) for name in LEFT_BY_GUEST]


def _copy_left(directory: Path, report: Path) -> None:
    """Of a host that did not come to send it."""
    for name in LEFT_BY_GUEST:
        if (directory / name).exists() and not (report / name).exists():
            (report / name).write_bytes((directory / name).read_bytes())


def _write_certificates(cache: Cache, persona: str, directory: Path) -> None:
    """And the library that gives them to the guest."""
    with tempfile.TemporaryDirectory(prefix="rmpopt-") as scratch:
        certificates.write(cache, certificates.of_persona(cache, persona), Path(scratch))
        (directory / guest.CERTIFICATES).write_bytes(certificates.table(Path(scratch)))
    project.build(cache, [LIBRARY])
    shutil.copy2(BUILD / LIBRARY, directory)


def _status(result: dict, report: Path) -> int:
    """The status of the command in the guest. Without one, says where the guest got to."""
    console, times, messages = (report / name for name in LEFT_BY_GUEST)
    if console.exists():
        note(f"the guest's console: {console}")
    if times.is_file() and " done " in times.read_text():
        return result["status"]
    told = [path.read_text(errors="replace") for path in (console, messages) if path.exists()] or [result["output"]]
    lines = "; ".join(last_line(text) for text in told if text.strip())
    raise Failure(f"the SNP guest did not come to its command: {lines}", VERDICT)

