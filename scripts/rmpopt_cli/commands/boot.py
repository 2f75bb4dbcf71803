# SPDX-License-Identifier: GPL-2.0-or-later
"""The boot command."""
import argparse
import shlex
from pathlib import Path

from ..base.errors import BadInput
from ..guest import linux, machine, watch
from ..guest.request import Request
from ..provision.cache import Cache
from . import machine_arguments


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("boot", help="boot a Linux kernel and show how far SNP and RMPOPT came",
                                 usage="rmpopt boot [options] [-- COMMAND...]")
    parser.add_argument("--kernel", default="", metavar="BZIMAGE",
                        help='kernel to boot; "debian" takes Debian\'s own, "variants" one that makes mistakes on '
                             "demand (default: the reference kernel)")
    parser.add_argument("--modules", type=Path, metavar="DIR", help="lib/modules/VERSION to load ccp and kvm_amd from")
    parser.add_argument("--initrd", type=Path, metavar="F",
                        help="initrd to use; its /init runs unless COMMAND is given")
    parser.add_argument("--file", type=Path, action="append", default=[], metavar="F",
                        help="put this file into /root of the guest; may be repeated")
    parser.add_argument("--append", default="", metavar="S", help="more words for the kernel command line")
    parser.add_argument("--time", default="real", choices=("real", "virtual"),
                        help="virtual: the guest's clock counts instructions and skips idle time")
    parser.add_argument("--watch", default="on", choices=("on", "off"),
                        help="say where the kernel misses an optimisation or misuses the hardware (on)")
    parser.add_argument("--watch-fatal", action="store_true", help="a finding of the watch fails the boot")
    parser.add_argument("--watch-bound", type=int, default=30, metavar="S",
                        help="seconds of guest time for which a clean region may stay unoptimised (30)")
    parser.add_argument("--symbols", type=Path, metavar="F",
                        help="System.map or vmlinux (default: the System.map beside the kernel)")
    parser.add_argument("--report", type=Path, metavar="DIR", help="where logs and result.json go")
    parser.add_argument("--timeout", type=float, default=300, metavar="S", help="seconds to wait (300)")
    parser.add_argument("--reboots", type=int, default=0, metavar="N",
                        help="let the guest start anew so often, by reset or kexec (0)")
    parser.add_argument("--qemu-opts", action="append", default=[], metavar="S", help="more QEMU options")
    parser.add_argument("--dry-run", action="store_true", help="print the QEMU command, ready to paste")
    parser.add_argument("--shell", action="store_true", help="interactive console (Ctrl-A X ends QEMU)")
    parser.add_argument("--json", action="store_true", help="result as JSON on stdout")
    parser.add_argument("--verbose", action="store_true", help="show the guest's console")
    parser.add_argument("words", nargs="*", metavar="COMMAND", help="run this in the guest and return its status")
    machine_arguments.add(parser, "6G", "single")
    parser.set_defaults(action=_boot)


def _watch_bound(arguments: argparse.Namespace) -> int:
    if not 1 <= arguments.watch_bound <= watch.LONGEST_BOUND:
        raise BadInput(f"--watch-bound {arguments.watch_bound}: give seconds from 1 to {watch.LONGEST_BOUND}")
    return arguments.watch_bound if arguments.watch == "on" else 0


def _boot(arguments: argparse.Namespace) -> int:
    words = arguments.words
    cache, plugin = Cache(), machine_arguments.plugin(arguments)
    request = Request(
        kernel=arguments.kernel, modules=arguments.modules, initrd=arguments.initrd, append=arguments.append,
        files=arguments.file,
        smp=machine.check_smp(arguments.smp), memory=machine.parse_size(arguments.mem), persona=arguments.persona,
        policies=machine_arguments.checked_policies(arguments.policy, cache, plugin), rmp=arguments.rmp,
        enforce=arguments.enforce, audit=arguments.audit, measure=machine.check_measure(arguments.measure),
        tlb=machine.check_tlb(arguments.tlb),
        thread=arguments.thread, report=arguments.report,
        timeout=arguments.timeout, reboots=arguments.reboots,
        virtual_time=arguments.time == "virtual", watch_bound=_watch_bound(arguments),
        watch_fatal=arguments.watch_fatal, symbols=arguments.symbols,
        qemu=arguments.qemu,
        qemu_options=machine_arguments.qemu_options(arguments.qemu_opts), plugin=plugin, shell=arguments.shell,
        json=arguments.json, verbose=arguments.verbose,
        command=words[0] if len(words) == 1 else shlex.join(words))
    return linux.dry_run(cache, request) if arguments.dry_run else linux.boot(cache, request)
