# SPDX-License-Identifier: GPL-2.0-or-later
"""Set-up: everything that boot, run and test need before they start."""
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..base import console
from ..base.parallel import together
from ..base.paths import BUILD, MARK, PLUGIN
from . import kernel, libvfio_user, packages, project, qemu, selftests
from .cache import Cache

T = TypeVar("T")


def tools(cache: Cache, qemu_path: str | None = None) -> qemu.Qemu:
    """Packages and a QEMU."""
    cache.prepare()
    packages.ensure(cache)
    return qemu.given(qemu_path, cache) if qemu_path else qemu.ensure(cache)


def built(cache: Cache) -> None:
    """The project, compiled, with all its tests."""
    project.build(cache, libvfio_user.ensure(cache))


def _ours(cache: Cache, plugin: Path | None, *further: Path) -> None:
    """What a guest needs of this project that runs with our plugin, with one built elsewhere, or with none."""
    source = libvfio_user.ensure(cache) if plugin == PLUGIN else None
    project.build(cache, source, [project.FOR_GUESTS if plugin == PLUGIN else project.GUEST_TOOLS, *further])


def for_bare_metal(cache: Cache, plugin: Path | None, qemu_path: str | None, image: Path) -> qemu.Qemu:
    found = tools(cache, qemu_path)
    if plugin == PLUGIN:
        ours = image.absolute().is_relative_to(BUILD)
        _ours(cache, plugin, *([image.absolute().relative_to(BUILD)] if ours else []))
    return found


def for_linux(cache: Cache, plugin: Path | None, qemu_path: str | None,
              find_kernel: Callable[[Cache], T] = kernel.reference) -> tuple[qemu.Qemu, T]:
    """What a Linux guest needs: QEMU, our parts and a kernel, made side by side."""
    cache.prepare()
    packages.ensure(cache)

    def host() -> qemu.Qemu:
        found = _step("QEMU", functools.partial(tools, cache, qemu_path))
        _step("plugin", functools.partial(_ours, cache, plugin))
        return found

    return _together(["QEMU", "plugin", "kernel", "boot"], host,
                     lambda: _step("kernel", functools.partial(find_kernel, cache)))


def for_tests(cache: Cache, find_kernels: Callable[[Cache], None]) -> None:
    cache.prepare()
    packages.ensure(cache, tests=True)

    def host() -> None:
        _step("QEMU", functools.partial(tools, cache))
        _step("project", functools.partial(built, cache))

    _together(["QEMU", "project", "kernels", "tests"], host,
              lambda: _step("kernels", functools.partial(find_kernels, cache)))


def _step(name: str, call: Callable[[], T]) -> T:
    result = call()
    console.finished(name)
    return result


def _together(steps: list[str], *calls: Callable[[], object]) -> tuple:
    """Side by side: one track waits for the network while another compiles."""
    console.remaining(steps)
    try:
        return tuple(together(*calls))
    finally:
        console.remaining([])


def guest_tools() -> list[Path]:
    """Programs of ours that each Linux guest gets."""
    return [BUILD / MARK]


def everything(cache: Cache) -> None:
    """What the first boot and the first test would do on their way, and a look at the whole cache."""
    cache.prepare()
    cache.drop_damaged()

    def kernels(where: Cache) -> None:
        kernel.reference(where)
        selftests.ensure(where)

    for_tests(cache, kernels)
