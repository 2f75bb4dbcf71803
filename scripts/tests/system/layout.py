# SPDX-License-Identifier: GPL-2.0-or-later
"""All private facts of QEMU that the plugin relies on must hold here. If one does not, the plugin must name it and
refuse to start, or switch off what depends on it."""
from functools import partial
from pathlib import Path

from rmpopt_cli.base.shell import last_line, output
from rmpopt_cli.guest import bare_metal, machine
from rmpopt_cli.provision import layout, qemu
from rmpopt_cli.provision.cache import Cache
from .command import PROGRAMS, Checks, scratch


def _all_hold() -> str | None:
    bad = [fact.name for fact in layout.probe(qemu.ensure(Cache())) if not fact.ok]
    return f"not as expected: {', '.join(bad)}" if bad else None


def _refuses() -> str | None:
    """If a needed fact fails, there must be one line with its name."""
    found = qemu.ensure(Cache())
    with scratch() as directory:
        for fact in layout.probe(found):
            if not fact.needed:
                continue
            status, _, told = output(layout.command(found, Path(directory, "facts"), fact.name), timeout=120)
            lines = [line for line in told.splitlines() if line.startswith("rmpopt: ")]
            if status == 0 or len(lines) != 1 or fact.name not in lines[0]:
                return f"{fact.name} does not hold: status {status}, {lines or last_line(told)}"
    return None


def _run_without(fact: str, test: bare_metal.BareMetalTest) -> tuple[int, str, str]:
    """Runs the test while the fact does not hold. Returns QEMU's status, its last line, and the plugin's log."""
    cache = Cache()
    with scratch() as directory:
        log = Path(directory, "log")
        words = bare_metal.command(cache, qemu.ensure(cache), test, log)
        words[words.index("-plugin") + 1] += f",break={fact}"
        status, text, told = output(words, timeout=test.timeout)
        return status, last_line(told or text), log.read_text()


def _switches_off(name: str) -> str | None:
    """If another fact fails, the guest must run all the same, and the log must name what is switched off."""
    chosen = machine.MachineOptions(smp="1", memory=2 << 30, watch="off")
    status, told, log = _run_without(name, bare_metal.BareMetalTest(PROGRAMS / "store_fault.elf", chosen))
    if status != bare_metal.PASS:
        return f"status {status}: {told}"
    return None if f"all code is translated for plugins: {name}" in log else "the log does not say so"


def _executes_stale_code() -> str | None:
    """Shows that the test of changed code fails when nothing is done about QEMU's race, and that the log says so."""
    chosen = machine.MachineOptions(smp="4,cores=2,threads=2", memory=2 << 30, watch="off", thread="multi")
    status, told, log = _run_without("stale-code", bare_metal.BareMetalTest(PROGRAMS / "patch.elf", chosen))
    if status != bare_metal.FAIL:
        return f"status {status}: {told}"
    return None if "the fact stale-code does not hold" in log else "the log does not say so"


def tests() -> Checks:
    return [("layout/all facts hold", _all_hold), ("layout/refuses without a needed fact", _refuses),
            *((f"layout/switches off without {name}", partial(_switches_off, name))
              for name in ("plugin-events", "plugin-instruction")),
            ("layout/executes stale code without stale-code", _executes_stale_code)]
