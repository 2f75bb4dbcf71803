# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel command."""
import argparse
import shutil
from pathlib import Path

from ..base import options
from ..base.errors import BadInput, resumed
from ..base.paths import DEBUG_FRAGMENT
from ..provision import kernel, packages
from ..provision.cache import Cache


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sub = commands.add_parser("kernel", help="build a kernel to boot")
    builds = sub.add_subparsers(dest="kernel_command", required=True, metavar="build")
    sub = builds.add_parser("build", help="unpack, patch and build a kernel; print the path of its image")
    sub.add_argument("--source", type=Path, metavar="DIR",
                     help="kernel tree or tarball (default: Debian's linux-source)")
    sub.add_argument("--patches", type=Path, metavar="DIR|MBOX",
                     help="series to apply (default: ours, or none with --source)")
    sub.add_argument("--config", type=_fragment, metavar="FRAGMENT",
                     help='options on top of the reference configuration; "debug": the kernel\'s own checks of locks, '
                          "RCU and hangs")
    sub.add_argument("--output", type=options.directory("--output"), metavar="DIR",
                     help="copy bzImage, vmlinux, System.map and config to this directory")
    sub.set_defaults(action=_kernel_build)


def _fragment(text: str) -> Path:
    return DEBUG_FRAGMENT if text == "debug" else Path(text)


@resumed
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
        where.mkdir(exist_ok=True)
        for name in ("bzImage", "vmlinux", "System.map", "config"):
            shutil.copyfile(built / name, where / name)
    except OSError as problem:
        raise BadInput(f"--output {where}: {problem.strerror}: give a directory that can be written") from problem
