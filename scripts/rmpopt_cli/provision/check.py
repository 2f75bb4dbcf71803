# SPDX-License-Identifier: GPL-2.0-or-later
"""State of the set-up, without changing anything: one verdict line and a hint per part."""
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from ..base.errors import OK, TEST_FAILED, Failure
from ..base.paths import BUILD, PLUGIN
from ..base.shell import output
from . import kernel, linux_source, packages, project, qemu, selftests
from .cache import Cache

RUN_SETUP = "run 'scripts/rmpopt setup'"


@dataclass
class Verdict:
    name: str
    ok: bool
    detail: str
    hint: str = ""


def _cache(cache: Cache) -> Verdict:
    cache.prepare()
    bad = cache.damaged()
    names = ", ".join(f"{entry.parent.name}/{entry.name} ({reason})" for entry, reason in bad)
    return Verdict("cache", not bad, f"{cache.root}{': ' + names if bad else ''}", RUN_SETUP if bad else "")


def _packages(cache: Cache) -> Verdict:
    absent = packages.missing()
    return Verdict("packages", not absent, f"missing: {' '.join(absent)}" if absent else "all installed",
                   packages.install_line(absent) if absent else "")


def _qemu(cache: Cache) -> Verdict:
    found = qemu.find(cache)
    return Verdict("QEMU", bool(found), f"{found.version()} ({found.origin}), {found.binary}" if found else
                   "none that fits", "" if found else RUN_SETUP)


def _entry(kind: str, what: str) -> Callable[[Cache], Verdict]:
    def look(cache: Cache) -> Verdict:
        found = cache.newest(kind)
        return Verdict(what, bool(found), found.name if found else "not there", "" if found else RUN_SETUP)
    return look


def _build(cache: Cache) -> Verdict:
    if not PLUGIN.exists():
        return Verdict("plugin", False, "not built", RUN_SETUP)
    status, text, _ = output(["ninja", "-C", BUILD, "-n", project.FOR_GUESTS])
    fresh = status == 0 and "no work to do" in text
    return Verdict("plugin", fresh, str(PLUGIN) if fresh else "older than its source", "" if fresh else RUN_SETUP)


def _kernel(cache: Cache) -> Verdict:
    sources = linux_source.cached(cache)
    built = [kernel.find_reference(cache, source) for source in sources]
    found = next((entry for entry in built if entry), None)
    return Verdict("reference kernel", bool(found), str(found / "bzImage") if found else "not built",
                   "" if found else RUN_SETUP)


CHECKS: tuple[Callable[[Cache], Verdict], ...] = (
    _cache, _packages, _qemu, _entry("libvfio-user", "libvfio-user source"), _build,
    _entry(linux_source.KIND, "Linux source"), _kernel,
    _entry(selftests.KIND, "Linux's selftests"))


def _guarded(check: Callable[[Cache], Verdict], cache: Cache) -> Verdict:
    try:
        return check(cache)
    except Failure as problem:
        return Verdict(check.__name__.strip("_"), False, str(problem), RUN_SETUP)


def run(cache: Cache, as_json: bool) -> int:
    verdicts = [_guarded(check, cache) for check in CHECKS]
    failed = [verdict for verdict in verdicts if not verdict.ok]
    if as_json:
        print(json.dumps({"schema": 1, "ok": not failed, "checks": [asdict(v) for v in verdicts]}, indent=1))
    else:
        for each in verdicts:
            print(f"[ {'ok' if each.ok else '--'} ] {each.name:20} {each.detail}")
            if each.hint:
                print(f"       {'':20} hint: {each.hint}")
    return TEST_FAILED if failed else OK
