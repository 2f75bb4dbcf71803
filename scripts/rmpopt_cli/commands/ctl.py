# SPDX-License-Identifier: GPL-2.0-or-later
"""The ctl command: talks to a running guest's plugin."""
import argparse
import json
from collections.abc import Callable
from pathlib import Path

from ..base.console import drop_output
from ..base.errors import OK, BadInput
from ..guest.control_client import Control, find
from ..guest.machine import check_measure
from ..provision.cache import Cache

Rows = list[tuple]


def table(rows: Rows) -> str:
    """Formats rows as columns; numbers are right-aligned."""
    if not rows:
        return "nothing"
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(str(cell).rjust(width) if isinstance(cell, (int, float)) else str(cell).ljust(width)
                               for cell, width in zip(row, widths)).rstrip() for row in rows)


def _pairs(result: dict) -> str:
    return table([(name, value if isinstance(value, (int, str)) else json.dumps(value))
                  for name, value in result.items() if name != "measure" or not isinstance(value, dict)])


def _status(result: dict) -> str:
    interval = f"={result['interval']}" if result["interval"] else ""
    mode = result["measure"] + interval + ("+tlb" if result["tlb"] else "")
    return (f"{result['seconds']:.1f} s of guest time, {result['persona']}, {result['cpus']} CPUs in "
            f"{result['cores']} cores, SNP {'on' if result['snp_enabled'] else 'off'}, measure {mode}")


def _cpus(text: str) -> str:
    return text or "none"


def _table(result: list[dict]) -> str:
    return table([("GiB", "optimised CPUs")] + [(row["gb"], _cpus(row["cpus"])) for row in result])


def _regions(result: list[dict]) -> str:
    return table([("GiB", "assigned pages", "optimised CPUs")] +
                 [(row["gb"], row["assigned_pages"], _cpus(row["optimised_cpus"])) for row in result])


def _cores(result: list[dict]) -> str:
    return table([("core", "CPUs", "SNP", "RMPOPT_BASE")] +
                 [(row["core"], row["cpus"], "on" if row["snp"] else "off", row["rmpopt_base"]) for row in result])


def _entry(result: dict) -> str:
    lines = [f"{result['address']}: {'the host may write' if result['host_writable'] else 'not writable by the host'}; "
             f"region optimised on CPUs {_cpus(result['optimised_cpus'])}"]
    for name in ("entry", "owner"):
        lines.append(f"{name}: " + ", ".join(f"{key} {value}" for key, value in result[name].items()))
    return "\n".join(lines)


def estimates(measured: dict | None) -> Rows:
    rows: Rows = [("", "stores", "skip rate")]
    for one in (measured or {}).get("estimates", []):
        rate = "none" if one["skip_rate"] is None else f"{one['skip_rate']:.2%}"
        if one["blocks"] and one["low"] is not None:
            rate += f" ({one['low']:.2%} to {one['high']:.2%})"
        rows.append((one["accessor"], one["stores"], rate))
    return rows


def _counters(result: dict) -> str:
    text = _pairs(result)
    return text + "\n" + table(estimates(result["measure"])) if result.get("measure") else text


def event_line(event: dict) -> str:
    rest = {name: value for name, value in event.items() if name not in ("seq", "t", "type")}
    if event["type"] == "counts":
        stores = sum(sum(cell[4:]) for cell in rest["cells"] if cell[3] == "store")
        rest = {"stores": stores, "cells": len(rest["cells"])}
    words = " ".join(f"{name}={value}" for name, value in rest.items())
    return f"{event.get('t', 0):12.6f} {event['type']:10} {words}"


# How each answer is shown to people.
VIEWS: dict[str, Callable] = {"status": _status, "table": _table, "rmp": _entry, "regions": _regions, "cores": _cores,
                              "counters": _counters, "help": _pairs}


def _events(control: Control, arguments: argparse.Namespace) -> int:
    show = json.dumps if arguments.json else event_line
    if arguments.follow:
        for event in control.follow(arguments.since):
            print(show(event), flush=True)
        return OK
    result = control.ask("events", since=arguments.since)
    for event in result["events"]:
        print(show(event))
    return OK


def _save(control: Control, path: Path) -> int:
    report = control.ask("report")
    try:
        path.write_text(json.dumps(report, indent=1) + "\n")
    except OSError as problem:
        raise BadInput(f"save {path}: {problem.strerror}: give a file that can be written") from problem
    return OK


SOCKET_HELP = "control socket, or report directory, of a running boot (default: the newest)"
CHANGES = ("measure", "mark", "inject")
INJECT = "psp COMMAND STATUS [COUNT], rmpupdate STATUS [COUNT], or rmpopt-clear GB|all"


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise BadInput(f"inject: '{text}' is no number: give {INJECT}") from None


def _injection(words: list[str]) -> dict[str, object]:
    fault, *rest = words
    names = {"psp": ("command", "status", "count"), "rmpupdate": ("status", "count"), "rmpopt-clear": ("gb",)}
    least = {"psp": 2, "rmpupdate": 1, "rmpopt-clear": 1}
    if fault not in names or not least[fault] <= len(rest) <= len(names[fault]):
        raise BadInput(f"inject: give {INJECT}")
    values = {name: word if name == "command" else _number(word)
              for name, word in zip(names[fault], rest) if (name, word) != ("gb", "all")}
    return {"fault": fault, **values}


def _arguments(arguments: argparse.Namespace) -> dict[str, object]:
    if arguments.ctl_command == "rmp":
        return {"address": arguments.address}
    if arguments.ctl_command == "measure":
        return {"mode": "exact" if arguments.mode == "on" else check_measure(arguments.mode)}
    if arguments.ctl_command == "inject":
        return _injection(arguments.words)
    return {"name": arguments.name} if arguments.ctl_command == "mark" else {}


def run(arguments: argparse.Namespace) -> int:
    request = _arguments(arguments)
    control = Control(find(Cache(), arguments.socket, arguments.ctl_command in CHANGES))
    try:
        if arguments.ctl_command == "events":
            return _events(control, arguments)
        if arguments.ctl_command == "save":
            return _save(control, arguments.file)
        result = control.ask(arguments.ctl_command, **request)
        view = VIEWS.get(arguments.ctl_command, json.dumps)
        print(json.dumps(result, indent=1) if arguments.json else view(result))
        return OK
    except BrokenPipeError:  # the user left a pager
        drop_output()
        return OK
    finally:
        control.close()


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("ctl", help="query and control the plugin of a running guest")
    verbs = parser.add_subparsers(dest="ctl_command", required=True, metavar="COMMAND")
    for name, what in (("status", "show guest time, CPUs and the measurement mode"),
                       ("table", "show the CPUs for which each region is optimised"),
                       ("rmp", "show the RMP entry of an address"),
                       ("regions", "show assigned pages and optimised CPUs of each region"),
                       ("cores", "show SNP_EN and RMPOPT_BASE of each core"),
                       ("counters", "show counts of instructions and events, and the measurement"),
                       ("events", "show the log of events"),
                       ("measure", "change the mode of the measurement"),
                       ("mark", 'begin a phase with this name; "" ends the current one'),
                       ("inject", "make the next commands fail, or clear regions from the RMPOPT tables"),
                       ("save", "write the report to a file"),
                       ("help", "list the commands of the socket")):
        sub = verbs.add_parser(name, help=what)
        sub.add_argument("--socket", type=Path, metavar="PATH", help=SOCKET_HELP)
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        if name == "rmp":
            sub.add_argument("address", metavar="ADDR", help="system physical address")
        elif name == "measure":
            sub.add_argument("mode", metavar="MODE", help="on, off, exact, exact+tlb or sampled=N")
        elif name == "inject":
            sub.add_argument("words", nargs="+", metavar="FAULT", help=INJECT)
        elif name == "mark":
            sub.add_argument("name", metavar="NAME")
        elif name == "save":
            sub.add_argument("file", type=Path, metavar="FILE")
        elif name == "events":
            sub.add_argument("-f", "--follow", action="store_true", help="print new events until QEMU ends")
            sub.add_argument("--since", type=int, default=1, metavar="N", help="first sequence number (1)")
        sub.set_defaults(action=run)
