# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots Debian's unmodified kernels, of each version that the archive has, with each persona."""
from functools import partial

from rmpopt_cli.base.errors import OK, VERDICT
from rmpopt_cli.base.shell import last_line
from rmpopt_cli.guest import watch
from rmpopt_cli.guest.cpu import PERSONAS
from rmpopt_cli.guest.hints import SEGMENTED_SINCE
from rmpopt_cli.provision import debian_kernel
from rmpopt_cli.provision.cache import Cache
from .command import Checks, rmpopt

OLDEST = (6, 12)  # before it, Linux was no SNP host, or had no IOMMU code for QEMU's


def _boot(version: str, persona: str) -> str | None:
    done = rmpopt("boot", "--json", "--kernel", f"debian:{version}", "--persona", persona)
    result = done.json()
    if not result:
        return f"status {done.status}: {last_line(done.told)}"
    is_too_old = result["plugin"]["rmp"]["layout"] == "segmented" and _numbers(version) < SEGMENTED_SINCE
    if is_too_old:
        hint = (result["hints"] or [""])[0]
        return None if done.status == VERDICT and "older than 6.14" in hint else f"status {done.status}, hint: {hint}"
    if done.status != OK:
        return f"status {done.status}: {result['message']}"
    return watch.summary(result["findings"]) if watch.serious(result["findings"]) else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def tests(cache: Cache) -> Checks:
    versions = [version for version in debian_kernel.versions(cache) if _numbers(version) >= OLDEST]
    return [(f"debian:{version} on {persona}", partial(_boot, version, persona))
            for version in versions for persona in PERSONAS]
