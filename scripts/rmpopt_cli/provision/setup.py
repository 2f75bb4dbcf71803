# SPDX-License-Identifier: GPL-2.0-or-later
"""Set-up: everything that boot, run and test need before they start."""
from pathlib import Path

from ..base.paths import BUILD, MARK, PLUGIN
from . import kernel, libvfio_user, packages, project, qemu, selftests
from .cache import Cache


def tools(cache: Cache, qemu_path: str | None = None) -> qemu.Qemu:
    """Packages and a QEMU."""
    cache.prepare()
    packages.ensure(cache)
    return qemu.given(qemu_path, cache) if qemu_path else qemu.ensure(cache)


def source_of_libvfio_user(cache: Cache) -> Path | None:
    return libvfio_user.ensure(cache)


def built(cache: Cache, qemu_path: str | None = None) -> qemu.Qemu:
    """Packages, QEMU and the project, compiled."""
    found = tools(cache, qemu_path)
    project.build(cache, source_of_libvfio_user(cache))
    return found


def for_plugin(cache: Cache, plugin: Path | None, qemu_path: str | None) -> qemu.Qemu:
    """What a guest needs that runs with our plugin, with one built elsewhere, or with none."""
    return built(cache, qemu_path) if plugin == PLUGIN else tools(cache, qemu_path)


def guest_tools(cache: Cache) -> list[Path]:
    """Programs of ours that each Linux guest gets, built if need be."""
    project.build(cache, None, [MARK])
    return [BUILD / MARK]


def everything(cache: Cache) -> None:
    """What the first boot and the first test would do on their way, and a look at the whole cache."""
    cache.prepare()
    cache.drop_damaged()
    built(cache)
    kernel.reference(cache)
    selftests.ensure(cache)
