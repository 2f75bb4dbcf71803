# SPDX-License-Identifier: GPL-2.0-or-later
"""Arguments and dispatch."""
import argparse
import json
import shlex
import shutil
import signal
import sys
from pathlib import Path

from . import boot, check, cpu, ctl, experiment_arguments, kernel, machine, packages, policies, reporting, run
from . import scenario, setup, testing, top, watch
from .cache import Cache
from .console import error, say
from .errors import OK, SETUP_FAILED, SIGNALLED, BadInput, Failure
from .paths import PLUGIN
from .reporting import compare, compare_page, measured
from .request import Request

STATUS_HELP = """\
exit status: 0 success; 1 a test failed; 2 bad input; 121 guest died; 122 QEMU failed;
123 the guest showed something wrong; 124 timeout; 125 rmpopt itself failed.
"boot -- COMMAND" returns the status of COMMAND."""


def _machine_arguments(parser: argparse.ArgumentParser, memory: str, thread: str) -> None:
    parser.add_argument("--smp", default="4,cores=2,threads=2", metavar="SPEC", help="CPUs, as QEMU's -smp")
    parser.add_argument("--mem", default=memory, metavar="SIZE", help="guest memory, such as 6G")
    parser.add_argument("--persona", default="venice", choices=cpu.PERSONAS, help="which EPYC to be")
    parser.add_argument("--policy", action="append", default=[], metavar="NAME=VALUE",
                        help="choice for behaviour that AMD leaves open ('rmpopt policies' lists them); may be "
                             "repeated")
    parser.add_argument("--rmp", default="auto", choices=machine.RMP_LAYOUTS, help="layout of the RMP")
    parser.add_argument("--enforce", default="on", choices=("on", "off", "strict"),
                        help="fault stores that the RMP forbids; strict: also stores through 2 MB mappings")
    parser.add_argument("--audit", type=int, default=0, metavar="N",
                        help="recount the RMP every N RMP instructions; a contradiction ends QEMU")
    parser.add_argument("--measure", default="off", metavar="MODE",
                        help="count RMP checks of stores: off, exact, exact+tlb (also those of modelled TLBs), or "
                             "sampled=N (one in N blocks of code)")
    parser.add_argument("--tlb", default=machine.TLB, metavar="SIZE",
                        help="data TLBs to model: zen3, zen4, zen5, or entries such as 64/2048x16")
    parser.add_argument("--thread", default=thread, choices=("single", "multi"),
                        help=f"host threads for the guest's CPUs ({thread})")
    parser.add_argument("--qemu", metavar="PATH", help="QEMU to use")
    parser.add_argument("--plugin", type=Path, default=PLUGIN, metavar="PATH",
                        help="plugin of another build directory, used as it is")
    parser.add_argument("--no-plugin", action="store_true", help="stock QEMU, for comparison")


def _boot_arguments(parser: argparse.ArgumentParser) -> None:
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


def _scenario_arguments(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sub = commands.add_parser("list", help="say what there is")
    sub.add_argument("--json", action="store_true", help="as JSON")
    sub.set_defaults(action=lambda arguments: scenario.show(arguments.json))
    sub = commands.add_parser("run", help="boot a kernel for each scenario; prints KTAP")
    sub.add_argument("names", nargs="+", metavar="NAME", help='scenarios, or "all"')
    sub.add_argument("--kernel", default="", metavar="BZIMAGE", help="as in boot")
    sub.add_argument("--modules", default="", metavar="DIR", help="as in boot")
    sub.add_argument("--append", default="", metavar="S", help="more words for the kernel command line")
    sub.add_argument("--policy", action="append", default=[], metavar="NAME=VALUE", help="as in boot")
    sub.add_argument("--plugin", type=Path, default=PLUGIN, metavar="PATH", help="as in boot")
    sub.add_argument("--jobs", type=int, default=0, metavar="N", help="boots at a time (default: one for each CPU)")
    sub.add_argument("--json", action="store_true", help="results as JSON on stdout")
    sub.set_defaults(action=_scenario)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rmpopt", epilog=STATUS_HELP,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description="AMD SEV-SNP's RMP and RMPOPT on a stock QEMU.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    sub = commands.add_parser("setup", help="fetch and build everything that the other commands need")
    sub.add_argument("--check", action="store_true", help="only report the state")
    sub.add_argument("--json", action="store_true", help="report as JSON")
    sub.set_defaults(action=_setup)

    sub = commands.add_parser("kernel", help="build a kernel to boot")
    builds = sub.add_subparsers(dest="kernel_command", required=True, metavar="build")
    sub = builds.add_parser("build", help="unpack, patch and build; prints the path of the image")
    sub.add_argument("--source", type=Path, metavar="DIR",
                     help="kernel tree or tarball (default: Debian's linux-source)")
    sub.add_argument("--patches", type=Path, metavar="DIR|MBOX",
                     help="series to apply (default: ours, or none with --source)")
    sub.add_argument("--config", type=Path, metavar="FRAGMENT", help="options on top of the reference configuration")
    sub.add_argument("--output", type=Path, metavar="DIR", help="copy bzImage, vmlinux, System.map and config there")
    sub.set_defaults(action=_kernel_build)

    sub = commands.add_parser("boot", help="boot a Linux kernel and show how far SNP and RMPOPT came",
                              usage="rmpopt boot [options] [-- COMMAND...]")
    _boot_arguments(sub)
    _machine_arguments(sub, "6G", "single")
    sub.set_defaults(action=_boot)

    sub = commands.add_parser("run", help="run a bare-metal test")
    sub.add_argument("elf", type=Path, metavar="TEST.elf")
    sub.add_argument("--append", default="", metavar="S", help="arguments for the test")
    sub.add_argument("--timeout", type=float, default=120, metavar="S", help="seconds to wait (120)")
    sub.add_argument("--report", type=Path, metavar="FILE", help="the plugin's report as JSON")
    sub.add_argument("--qemu-opts", action="append", default=[], metavar="S", help="more QEMU options")
    _machine_arguments(sub, "2G", "multi")
    sub.set_defaults(action=_run)

    sub = commands.add_parser("scenario", help="put a kernel through situations in which it may go wrong")
    _scenario_arguments(sub.add_subparsers(dest="scenario_command", required=True, metavar="list|run"))

    sub = commands.add_parser("experiment", help="measure what RMPOPT saves and costs, in the standard situations",
                              usage="rmpopt experiment list | [run] NAME... [options]")
    experiment_arguments.add(sub)

    sub = commands.add_parser("ctl", help="talk to a running guest's plugin")
    ctl.add_arguments(sub.add_subparsers(dest="ctl_command", required=True, metavar="COMMAND"))
    sub = commands.add_parser("top", help="a running guest at a glance; q quits")
    sub.add_argument("--socket", type=Path, metavar="PATH", help="control socket (default: of the newest boot)")
    sub.add_argument("--once", action="store_true", help="one look only")
    sub.set_defaults(action=top.run)

    sub = commands.add_parser("report", help="make text, CSV, a trace and a page of what was measured")
    sub.add_argument("directory", type=Path, metavar="DIR", help="report directory of a measured boot")
    sub.add_argument("--json", action="store_true", help="report.json instead of the text")
    sub.set_defaults(action=_report)
    sub = commands.add_parser("compare", help="two measured boots side by side")
    sub.add_argument("first", type=Path, metavar="A", help="report directory")
    sub.add_argument("second", type=Path, metavar="B", help="report directory")
    sub.add_argument("--html", type=Path, metavar="FILE", help="also write a page")
    sub.add_argument("--json", action="store_true", help="as JSON")
    sub.set_defaults(action=_compare)

    sub = commands.add_parser("policies", help="list the choices for behaviour that AMD leaves open")
    sub.add_argument("--json", action="store_true", help="as JSON")
    sub.set_defaults(action=_policies)

    sub = commands.add_parser("test", help="run all tests")
    sub.add_argument("pattern", nargs="?", default="", metavar="PATTERN", help="only tests whose name contains this")
    sub.add_argument("--json", action="store_true", help="results as JSON on stdout")
    sub.set_defaults(action=_test)
    return parser


def _setup(arguments: argparse.Namespace) -> int:
    if arguments.check:
        return check.run(Cache(), arguments.json)
    if arguments.json:
        raise BadInput("--json goes with --check")
    setup.everything(Cache())
    return check.run(Cache(), False)


def _plugin(arguments: argparse.Namespace) -> Path | None:
    if arguments.no_plugin:
        return None
    if arguments.plugin != PLUGIN and not arguments.plugin.is_file():
        raise BadInput(f"--plugin {arguments.plugin}: no such file: give the path of a librmpopt.so")
    return arguments.plugin.absolute()


def _kernel_build(arguments: argparse.Namespace) -> int:
    cache = Cache()
    packages.ensure(cache)
    built = kernel.build(cache, arguments.source, arguments.patches, arguments.config)
    where = arguments.output or built
    if arguments.output:
        _copy_kernel(built, arguments.output)
    print(where / "bzImage")
    return 0


def _copy_kernel(built: Path, where: Path) -> None:
    try:
        where.mkdir(parents=True, exist_ok=True)
        for name in ("bzImage", "vmlinux", "System.map", "config"):
            shutil.copyfile(built / name, where / name)
    except OSError as problem:
        raise BadInput(f"--output {where}: {problem.strerror}: give a directory that can be written") from problem


def _report(arguments: argparse.Namespace) -> int:
    written = reporting.render(arguments.directory)
    name = "report.json" if arguments.json else "report.txt"
    sys.stdout.write((arguments.directory / name).read_text())
    say("written: " + ", ".join(map(str, written)))
    return OK


def _compare(arguments: argparse.Namespace) -> int:
    compared = compare.compare(measured.load(arguments.first), measured.load(arguments.second))
    if arguments.html:
        try:
            arguments.html.write_text(compare_page.page(compared), encoding="utf-8")
        except OSError as problem:
            raise BadInput(f"--html {arguments.html}: {problem.strerror}: give a file that can be written") from problem
    print(json.dumps(compared, indent=1) if arguments.json else compare.table(compared))
    return OK


def _policies(arguments: argparse.Namespace) -> int:
    return policies.show(Cache(), arguments.json)


def _checked_policies(arguments: argparse.Namespace, cache: Cache, plugin: Path | None) -> list[str]:
    wanted = [machine.check_policy(text) for text in arguments.policy]
    policies.check(cache, wanted, plugin)
    return wanted


def _watch_bound(arguments: argparse.Namespace) -> int:
    if not 1 <= arguments.watch_bound <= watch.LONGEST_BOUND:
        raise BadInput(f"--watch-bound {arguments.watch_bound}: give seconds from 1 to {watch.LONGEST_BOUND}")
    return arguments.watch_bound if arguments.watch == "on" else 0


def _boot(arguments: argparse.Namespace) -> int:
    words = arguments.words
    cache, plugin = Cache(), _plugin(arguments)
    request = Request(
        kernel=arguments.kernel, modules=arguments.modules, initrd=arguments.initrd, append=arguments.append,
        files=arguments.file,
        smp=machine.check_smp(arguments.smp), memory=machine.parse_size(arguments.mem), persona=arguments.persona,
        policies=_checked_policies(arguments, cache, plugin), rmp=arguments.rmp,
        enforce=arguments.enforce, audit=arguments.audit, measure=machine.check_measure(arguments.measure),
        tlb=machine.check_tlb(arguments.tlb),
        thread=arguments.thread, report=arguments.report,
        timeout=arguments.timeout, reboots=arguments.reboots,
        virtual_time=arguments.time == "virtual", watch_bound=_watch_bound(arguments),
        watch_fatal=arguments.watch_fatal, symbols=arguments.symbols,
        qemu=arguments.qemu,
        qemu_options=_split(arguments.qemu_opts), plugin=plugin, shell=arguments.shell,
        json=arguments.json, verbose=arguments.verbose,
        command=words[0] if len(words) == 1 else shlex.join(words))
    return boot.dry_run(cache, request) if arguments.dry_run else boot.boot(cache, request)


def _split(options: list[str]) -> list[str]:
    try:
        return [word for text in options for word in shlex.split(text)]
    except ValueError as problem:
        raise BadInput(f"--qemu-opts: {problem}: check the quotes") from problem


def _run(arguments: argparse.Namespace) -> int:
    run.check_elf(arguments.elf)
    cache, plugin = Cache(), _plugin(arguments)
    test = run.BareMetalTest(
        elf=arguments.elf, persona=arguments.persona, memory=machine.parse_size(arguments.mem),
        smp=machine.check_smp(arguments.smp), rmp=arguments.rmp, enforce=arguments.enforce,
        audit=arguments.audit, measure=machine.check_measure(arguments.measure),
        tlb=machine.check_tlb(arguments.tlb), report=arguments.report,
        thread=arguments.thread, policies=_checked_policies(arguments, cache, plugin),
        append=arguments.append,
        timeout=arguments.timeout, plugin=plugin, qemu_options=_split(arguments.qemu_opts))
    qemu = setup.for_plugin(cache, test.plugin, arguments.qemu)
    status, output = run.execute(cache, qemu, test)
    sys.stdout.write(output)
    return status


def _scenario(arguments: argparse.Namespace) -> int:
    options = [word for name in ("kernel", "modules") if getattr(arguments, name)
               for word in (f"--{name}", getattr(arguments, name))]
    options += [word for policy in arguments.policy for word in ("--policy", policy)]
    scenario.chosen(arguments.names)  # refuses bad names before anything is built
    if arguments.plugin != PLUGIN:
        options += ["--plugin", str(arguments.plugin)]
    cache = Cache()
    setup.for_plugin(cache, arguments.plugin, None)
    if not arguments.kernel:
        kernel.reference(cache)
    return scenario.run(arguments.names, options, arguments.append, arguments.jobs, arguments.json)


def _test(arguments: argparse.Namespace) -> int:
    return testing.run_all(Cache(), arguments.pattern, arguments.json)


def _stop(number: int, _frame: object) -> None:
    """Unwinds, so that QEMU and compilers are ended too."""
    raise SystemExit(SIGNALLED + number)


def main(words: list[str]) -> int:
    arguments = _parser().parse_args(words)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        return arguments.action(arguments)
    except BadInput as problem:
        error(str(problem))
        return problem.status
    except Failure as problem:
        error(str(problem))
        return problem.status
    except KeyboardInterrupt:
        error("interrupted; the next run goes on from here")
        return SIGNALLED + signal.SIGINT
    except BrokenPipeError:
        return SETUP_FAILED
