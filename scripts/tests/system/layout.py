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


def _switches_off(name: str) -> str | None:
    """If another fact fails, the guest must run all the same, and the log must name what is switched off."""
    cache = Cache()
    chosen = machine.MachineOptions(smp="1", memory=2 << 30, watch="off")
    with scratch() as directory:
        log = Path(directory, "log")
        test = bare_metal.BareMetalTest(PROGRAMS / "store_fault.elf", chosen)
        words = bare_metal.command(cache, qemu.ensure(cache), test, log)
        place = words.index("-plugin") + 1
        words[place] += f",break={name}"
        status, text, told = output(words, timeout=test.timeout)
        told_off = f"all code is translated for plugins: {name}" in log.read_text()
    if status != bare_metal.PASS:
        return f"status {status}: {last_line(told) or last_line(text)}"
    return None if told_off else "the log does not say so"


def tests() -> Checks:
    return [("layout/all facts hold", _all_hold), ("layout/refuses without a needed fact", _refuses),
            *((f"layout/switches off without {name}", partial(_switches_off, name))
              for name in ("plugin-events", "plugin-instruction"))]
