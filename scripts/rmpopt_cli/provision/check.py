# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports the state of the set-up, and changes nothing: a verdict and a hint for each part."""
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from ..base.errors import OK, TEST_FAILED, Failure
from ..base.paths import BUILD, COMMAND, IS_INSTALLED, PLUGIN
from ..base.shell import output
from . import kernel, layout, linux_source, packages, project, qemu, selftests
from .cache import Cache

RUN_SETUP = f"run '{COMMAND} setup'"


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
    if IS_INSTALLED:
        return Verdict("plugin", True, str(PLUGIN))
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
    _cache, _packages, _qemu, _build,
    _entry(linux_source.KIND, "Linux source"), _kernel,
    *(() if IS_INSTALLED else (_entry(selftests.KIND, "Linux's selftests"),)))


def _guarded(check: Callable[[Cache], Verdict], cache: Cache) -> Verdict:
    try:
        return check(cache)
    except Failure as problem:
        return Verdict(check.__name__.strip("_"), False, str(problem), RUN_SETUP)


OTHER_QEMU = f"use a QEMU 11.1 as Debian builds it ('{COMMAND} setup' finds one)"


def _facts(chosen: qemu.Qemu | None) -> list[Verdict]:
    """A verdict for each of QEMU's private facts that the plugin relies on."""
    if not chosen or not PLUGIN.exists():
        return [Verdict("QEMU's insides", False, "not tried: needs QEMU and the plugin", RUN_SETUP)]
    try:
        facts = layout.probe(chosen)
    except Failure as problem:
        return [Verdict("QEMU's insides", False, str(problem), OTHER_QEMU)]
    return [_fact(each) for each in facts]


def _fact(fact: layout.Fact) -> Verdict:
    if fact.ok:
        return Verdict(f"QEMU: {fact.name}", True, fact.why)
    if not fact.needed:
        return Verdict(f"QEMU: {fact.name}", True, f"switched off: {fact.problem or fact.state}")
    return Verdict(f"QEMU: {fact.name}", False, fact.problem or fact.state, OTHER_QEMU if fact.problem else "")


def run(cache: Cache, as_json: bool, chosen: qemu.Qemu | None = None) -> int:
    """Prints all verdicts. `chosen` is the QEMU to check instead of the one that other commands use."""
    verdicts = [_guarded(check, cache) for check in CHECKS] + _facts(chosen or qemu.find(cache))
    failed = [verdict for verdict in verdicts if not verdict.ok]
    if as_json:
        print(json.dumps({"schema": 1, "ok": not failed, "checks": [asdict(v) for v in verdicts]}, indent=1))
    else:
        for each in verdicts:
            print(f"[ {'ok' if each.ok else '--'} ] {each.name:24} {each.detail}")
            if each.hint:
                print(f"       {'':24} hint: {each.hint}")
    return TEST_FAILED if failed else OK
