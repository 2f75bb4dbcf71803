# SPDX-License-Identifier: GPL-2.0-or-later
"""Defects in the environment of a boot. Each must end with one line that names it."""
import lzma
import tempfile
from pathlib import Path

from rmpopt_cli.base.errors import GUEST_DIED, OK, SETUP_FAILED, USAGE
from rmpopt_cli.base.shell import output
from .boots import reference_image
from .command import Checks, refused, rmpopt, running, scratch


def _with_fake_qemu(script: str, says: str) -> str | None:
    with scratch() as directory:
        fake = Path(directory, "qemu")
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o755)
        return refused(USAGE, says, "boot", "--qemu", fake)


def _old_qemu() -> str | None:
    return _with_fake_qemu("echo QEMU emulator version 7.2.0", "too old: 11.1 or newer")


def _plain_qemu() -> str | None:
    return _with_fake_qemu('[ "$1" = --version ] && echo QEMU emulator version 11.1.3 && exit\n'
                           "echo '-plugin: invalid option' >&2; exit 1", "without TCG plugins")


def _cache_not_writable() -> str | None:
    with tempfile.NamedTemporaryFile() as blocker:
        return refused(SETUP_FAILED, "not writable", "boot", extra_env={"RMPOPT_CACHE": blocker.name + "/cache"})


def _truncated_kernel() -> str | None:
    with tempfile.NamedTemporaryFile() as part:
        part.write(reference_image().read_bytes()[:1 << 20])
        part.flush()
        return refused(USAGE, "truncated", "boot", "--kernel", part.name)


def _panic() -> str | None:
    """An initrd without /init: the first process ends and the kernel panics."""
    with tempfile.NamedTemporaryFile() as initrd:
        initrd.write(b"\0" * 512)
        initrd.flush()
        return refused(GUEST_DIED, "panicked: Attempted to kill init", "boot", "--mem", "2G", "--initrd", initrd.name)


def _initrd_that_the_kernel_cannot_read() -> str | None:
    """Ours is there all the same, and the kernel's reason is shown, whether or not the kernel needs the user's."""
    with tempfile.NamedTemporaryFile(suffix=".cpio.xz") as initrd:
        initrd.write(lzma.compress(b"070701" + b"0" * 106))
        initrd.flush()
        words = ("boot", "--mem", "2G", "--initrd", initrd.name)
        done = rmpopt(*words, "--", "true")
        if done.failure or "compression method xz not configured" not in done.told:
            return done.failure or "the kernel's reason is not shown"
        return refused(GUEST_DIED, "panicked: Attempted to kill init.*xz not configured", *words)


def _two_boots_with_one_report() -> str | None:
    with running("--mem", "2G", "--", "sleep 1000") as (_, _, report):
        return refused(USAGE, "another boot writes there", "boot", "--mem", "2G", "--report", report)


def _cache_full() -> str | None:
    """On a file system of its own, if this program may mount one."""
    with scratch() as top:
        if output(["mount", "-t", "tmpfs", "-o", "size=256k", "none", top])[0] != OK:
            return None
        try:
            return refused(SETUP_FAILED, f"{top} has 0 MiB left, and a boot needs 512", "boot",
                           extra_env={"RMPOPT_CACHE": top})
        finally:
            output(["umount", "-l", top])


def tests() -> Checks:
    return [("bad-input/QEMU too old", _old_qemu), ("bad-input/QEMU without plugins", _plain_qemu),
            ("bad-input/cache not writable", _cache_not_writable), ("bad-input/kernel truncated", _truncated_kernel),
            ("bad-input/kernel panic", _panic),
            ("bad-input/initrd that the kernel cannot read", _initrd_that_the_kernel_cannot_read),
            ("bad-input/two boots with one report", _two_boots_with_one_report), ("bad-input/cache full", _cache_full)]
