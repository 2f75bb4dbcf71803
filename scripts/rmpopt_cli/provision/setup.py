# SPDX-License-Identifier: GPL-2.0-or-later
"""Prepares everything that boot, run and test need before they start."""
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..base import console
from ..base.errors import resumed
from ..base.parallel import together
from ..base.paths import BUILD, IS_INSTALLED, MARK, PLUGIN
from . import kernel, linux_source, packages, project, qemu, selftests
from .cache import Cache

T = TypeVar("T")


@resumed
def tools(cache: Cache, qemu_path: str | None = None) -> qemu.Qemu:
    """Installs packages and returns a QEMU."""
    cache.prepare()
    packages.ensure(cache)
    return qemu.given(qemu_path, cache) if qemu_path else qemu.ensure(cache)


@resumed
def built(cache: Cache) -> None:
    """Compiles the project with all its tests."""
    project.build(cache)


def _ours(cache: Cache, plugin: Path | None, *further: Path) -> None:
    """Builds the parts of this project that a guest needs. They include the plugin only if the guest runs with ours."""
    project.build(cache, [project.FOR_GUESTS if plugin == PLUGIN else project.GUEST_TOOLS, *further])


@resumed
def for_others(cache: Cache, plugin: Path | None, qemu_path: str | None, *further: Path) -> qemu.Qemu:
    """Provides QEMU and the plugin, for a guest that is not ours, and further parts of this project."""
    found = tools(cache, qemu_path)
    if plugin == PLUGIN:
        _ours(cache, plugin, *further)
    return found


def for_bare_metal(cache: Cache, plugin: Path | None, qemu_path: str | None, image: Path) -> qemu.Qemu:
    ours = image.absolute().is_relative_to(BUILD)
    return for_others(cache, plugin, qemu_path, *([image.absolute().relative_to(BUILD)] if ours else []))


@resumed
def for_linux(cache: Cache, plugin: Path | None, qemu_path: str | None,
              find_kernel: Callable[[Cache], T] = kernel.reference) -> tuple[qemu.Qemu, T]:
    """Provides what a Linux guest needs, in parallel: QEMU with our parts, and a kernel."""
    cache.prepare()
    packages.ensure(cache)

    def host() -> qemu.Qemu:
        found = _step("QEMU", functools.partial(tools, cache, qemu_path))
        _step("plugin", functools.partial(_ours, cache, plugin))
        return found

    return _together(["QEMU", "plugin", "kernel", "boot"], host,
                     lambda: _step("kernel", functools.partial(find_kernel, cache)))


def for_list_of_tests(cache: Cache) -> None:
    """Provides what Meson needs to name its tests."""
    cache.prepare()
    packages.ensure(cache, tests=not IS_INSTALLED)
    project.configure(cache)


@resumed
def for_tests(cache: Cache, find_kernels: Callable[[Cache], None]) -> None:
    cache.prepare()
    packages.ensure(cache, tests=not IS_INSTALLED)

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
    """Runs the calls in parallel, because one waits for the network while another compiles."""
    console.remaining(steps)
    try:
        return tuple(together(*calls))
    finally:
        console.remaining([])


def guest_tools() -> list[Path]:
    """Our programs that every Linux guest contains."""
    return [BUILD / MARK]


@resumed
def everything(cache: Cache) -> None:
    """Prepares all that the first boot and the first test would, and checks the whole cache."""
    cache.prepare()
    cache.drop_damaged()

    def kernels(where: Cache) -> None:
        linux_source.refresh(where)
        kernel.reference(where)
        if not IS_INSTALLED:
            selftests.ensure(where)

    for_tests(cache, kernels)
