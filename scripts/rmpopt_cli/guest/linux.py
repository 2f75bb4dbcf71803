# SPDX-License-Identifier: GPL-2.0-or-later
"""A boot of Linux, from a kernel image to a verdict."""
import hashlib
import json
import math
import os
import secrets
import shlex
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

from .. import reporting
from ..base.console import note, warn
from ..base.errors import OK, Failure, interrupted_means
from ..provision import given_kernel, modules, setup
from ..provision.cache import Cache
from ..provision.debian_kernel import Kernel
from ..provision.qemu import Qemu
from ..reporting import guest_stages
from . import initramfs, machine, required, stalls, symbols, workspace
from .brought import quoted
from .guest_link import GuestLink
from .request import Request
from .session import Session, interruption, qemu_messages
from .verdict import judge
from .view import View

T = TypeVar("T")
SETTLE_SECONDS = 30
# With it, a kernel's first page table would be its last, whether or not CPUID offers SME.
ENCRYPTS = "mem_encrypt=on"
# With --watch-fatal, the guest goes on while the watch waits for something. What the kernel does meanwhile may make the
# bound begin anew, but not for ever.
LOOK = """
left={seconds}
while [ $left -gt 0 ] && rmpopt-mark --due; do
    left=$((left - 1))
    sleep 1
done
"""
CONSOLE = "console=ttyS0 panic=-1 no_timer_check tsc=reliable"


@dataclass
class Prepared:
    request: Request
    space: workspace.Workspace
    argv: list[str]
    token: str
    kernel: Path


@dataclass
class Parts:
    """The files that a boot needs."""
    qemu: Qemu
    kernel: Path
    modules: list[Path]  # in the order of loading
    tools: list[Path]


_ready: dict[tuple, object] = {}
_making = threading.Lock()


def _once(make: Callable[..., T], cache: Cache, *what: object) -> T:
    """Makes something once for all boots of this process. Otherwise threads would wait for each other's locks."""
    with _making:
        if (make, *what) not in _ready:
            _ready[(make, *what)] = make(cache, *what)
        return cast(T, _ready[(make, *what)])


def _made(cache: Cache, library: Path | None, qemu: str, kernel: str, build: bool) -> tuple[Qemu, Kernel]:
    return setup.for_linux(cache, library, qemu, partial(given_kernel.find, name=kernel, build=build))


def parts(cache: Cache, request: Request) -> Parts:
    """Makes or finds them, which may take minutes."""
    qemu, found = _once(_made, cache, request.machine.library, request.machine.qemu, request.kernel, request.build)
    if request.modules:
        found = replace(found, modules=request.modules.absolute(), options={})
    wanted = modules.not_built_in([*modules.FOR_SNP, *request.brought.modules()], found.options)
    return Parts(qemu, found.image, modules.in_order(found.modules, wanted) if found.modules else [],
                 setup.guest_tools())


def _action(request: Request) -> str:
    if request.shell:
        return "shell"
    if request.command or request.watch_fatal and not request.initrd:
        return "command"
    return "init" if request.initrd else "show"


def _script(request: Request) -> str:
    """What the guest's shell executes."""
    if not request.watch_fatal:
        return request.command
    return f"sh -c {shlex.quote(request.command)} || exit" + LOOK.format(seconds=2 * request.machine.watch_bound)


def _initrd(request: Request, token: str, modules: list[Path], tools: list[Path], pasted: bool) -> bytes:
    size = shutil.get_terminal_size()
    config = {"token": token, "action": _action(request), "wait": str(SETTLE_SECONDS),
              "modules": " ".join(initramfs.module_name(path) for path in modules), "pasted": "yes" if pasted else "",
              "await": "yes" if required.RMPOPT in request.require else "", "kept": " ".join(map(str, request.kept)),
              "started": os.getcwd() if request.root or request.shares else "",
              "columns": str(size.columns) if request.shell else "", "rows": str(size.lines) if request.shell else ""}
    ours = initramfs.build(config, _script(request), modules, request.files, request.initrd is None, tools,
                           request.brought.for_init())
    return initramfs.joined(ours, request.initrd.read_bytes()) if request.initrd else ours


def _serial_ports(space: workspace.Workspace, request: Request) -> list[str]:
    console = f"stdio,id=console,signal=off,logfile={quoted(space.console)}"
    monitor = []
    if request.shell:  # Ctrl-A X must end QEMU
        console += ",mux=on"
        monitor = ["-object", "monitor-hmp,id=monitor,chardev=console"]
    return ["-chardev", console, "-serial", "chardev:console", *monitor,
            "-chardev", f"file,id=status,path={quoted(space.status)}", "-serial", "chardev:status"]


def _command_line(request: Request) -> str:
    level = "loglevel=7" if request.verbose else "loglevel=5"  # the status channel carries the whole of dmesg anyway
    wanted = " ".join(word for word in request.append.split(" ") if word != ENCRYPTS)
    return " ".join(word for word in (CONSOLE, level, wanted, initramfs.KERNEL_WORDS) if word)


def points(request: Request, kernel_image: Path) -> list[str]:
    """The plugin's options for points at which CPUs stall. Refuses those that the kernel does not have."""
    words = [f"points={request.points}"] if request.points else []
    if request.stalls or request.at:  # reading the symbols takes a moment
        words += stalls.plugin_words(request.stalls, request.at, symbols.for_kernel(request.symbols, kernel_image))
    return words


def _arguments(cache: Cache, request: Request, qemu: Qemu, space: workspace.Workspace, kernel_image: Path,
               more: list[str]) -> list[str]:
    """QEMU's command line; `more` are further options of the plugin."""
    places = {"log": space.plugin_log, "report": space.plugin_report, "events": space.events,
              "control": space.control_socket}
    if request.machine.seed is not None:
        places["schedule"] = space.schedule
    return [*machine.command(cache, qemu, request.machine, places, more, may_reboot=request.reboots > 0,
                             has_psp=request.machine.has_rmp),
            *_serial_ports(space, request), "-kernel", str(kernel_image), "-initrd", str(space.initrd),
            "-append", _command_line(request), *(["-s", "-S"] if request.gdb else []), *request.machine.qemu_options,
            # The last, because QEMU might put the user's devices onto a bus of ours.
            *request.brought.arguments(space.run)]


def _token(request: Request, dry_run: bool) -> str:
    """Marks the lines of our init. It is part of what the guest executes, so a seed decides on it, too."""
    if dry_run:
        return "dry-run"
    seed = request.machine.seed
    return secrets.token_hex(8) if seed is None else hashlib.sha256(f"seed {seed}".encode()).hexdigest()[:16]


def _keep_earlier(request: Request, space: workspace.Workspace) -> None:
    """What a user's earlier boot left in the report directory may be precious."""
    old = space.keep_earlier()
    if old:
        note(f"the earlier report is in {old} now")
    if old and request.same_as and request.same_as.absolute() == space.report:
        request.same_as = old


def _prepare(cache: Cache, request: Request, dry_run: bool, keep_earlier: bool = False) -> Prepared:
    made = parts(cache, request)
    more = points(request, made.kernel)  # before there is a report directory, which would stay empty
    token = _token(request, dry_run)
    initrd = _initrd(request, token, made.modules, made.tools, pasted=dry_run)
    key = hashlib.sha256(initrd + repr(request).encode()).hexdigest()[:16]
    space = workspace.lasting(cache, key) if dry_run else workspace.create(cache, request.report)
    if keep_earlier:
        _keep_earlier(request, space)
    space.clean()
    space.initrd.write_bytes(initrd)
    argv = _arguments(cache, request, made.qemu, space, made.kernel, more)
    return Prepared(request, space, argv, token, made.kernel)


def dry_run(cache: Cache, request: Request) -> int:
    request.check()
    request.verbose = True  # the pasted command shows nothing but the console
    print(shlex.join(_prepare(cache, request, dry_run=True).argv))
    return OK


def boot(cache: Cache, request: Request, view: View | None = None) -> dict:
    """Boots, and returns what result.json holds. Without a view nothing is printed. May run in any thread."""
    request.check()
    prepared = _prepare(cache, request, dry_run=False, keep_earlier=view is not None)
    if view and ENCRYPTS in request.append.split():
        note(f"{ENCRYPTS} is left out: the C-bit is a bit of the address here, and nothing is encrypted")
    try:
        return _boot(prepared, view)
    finally:
        prepared.space.drop_run()


def _render(directory: Path, result: dict, aloud: bool) -> None:
    """Renders what was measured. A failure here does not change the status of the boot."""
    if not (result["plugin"] or {}).get("measure"):
        return
    try:
        reporting.render(directory)
        if aloud:
            note(f"measured: {directory / 'report.html'}, report.txt beside it")
    except Exception as problem:  # a bug in the rendering must not hide the boot's result
        warn(str(problem) if isinstance(problem, Failure) else f"no report: {type(problem).__name__}: {problem}")


def _write_kept(request: Request, link: GuestLink, space: workspace.Workspace) -> None:
    for path in request.kept:
        section = link.section(path.name)
        if section:
            (space.report / path.name).write_bytes(section.content)


def _boot(prepared: Prepared, view: View | None) -> dict:
    request, space = prepared.request, prepared.space
    space.command.write_text(shlex.join(prepared.argv) + "\n")
    link = GuestLink(prepared.token)
    if view:
        view.begin(prepared.kernel)
        link.on_output, link.on_section = view.output, view.section
    session = Session(prepared.argv, space, link, math.inf if request.gdb else request.timeout, request.shell,
                      request.verbose, request.reboots, to_the_end=request.machine.seed is not None)
    started = time.monotonic()
    stopped: BaseException | None = None
    try:
        with interrupted_means("the guest was ended"):
            ending = session.run()
    except (KeyboardInterrupt, SystemExit) as problem:
        stopped = problem
        ending = interruption(problem)
    _write_kept(request, link, space)
    result = judge(request, link, space, ending, symbols.for_kernel(request.symbols, prepared.kernel))
    result["guest_stages"] = guest_stages.of(space.events, space.report / workspace.GUEST_TIMES)
    result["seconds"] = {"init": round(session.seconds_to_init, 2), "total": round(time.monotonic() - started, 2)}
    space.result.write_text(json.dumps(result, indent=1) + "\n")
    if stopped:
        if view:
            view.interrupted(result)
        raise stopped
    if view:
        view.close(result, qemu_messages(space.qemu_log))
    _render(space.report, result, aloud=view is not None)
    return result
