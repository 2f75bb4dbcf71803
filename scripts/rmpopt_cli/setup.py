# SPDX-License-Identifier: GPL-2.0-or-later
"""Set-up: everything that boot, run and test need before they start."""
from pathlib import Path

from . import kernel, libvfio_user, packages, project, qemu
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


def everything(cache: Cache) -> None:
    """What the first boot would do on its way, and a look at all that is in the cache."""
    cache.prepare()
    cache.drop_damaged()
    built(cache)
    kernel.reference(cache)
