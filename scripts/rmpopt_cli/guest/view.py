# SPDX-License-Identifier: GPL-2.0-or-later
"""What boot prints: proofs as soon as the guest gives them, tables and summary at the end.

With a command in the guest, stdout carries the command's output and nothing else.
"""
import json
import sys
from pathlib import Path

from ..base.console import error, note, say
from ..base.errors import OK
from ..reporting import guest_stages, guests
from . import proofs, rmpopt_use, tables, watch
from .guest_link import Section
from .request import Request

COUNTERS = ("rmpopt", "rmpopt_set", "rmpupdate", "rmpupdate_failed", "psmash", "rmpread", "rmp_faults")


def counts(counters: dict) -> str:
    said = {name: f"{name} {counters[name]}" for name in COUNTERS if name in counters}
    if counters.get("rmpopt"):
        said["rmpopt"] += f" ({counters['rmpopt'] - rmpopt_use.executed(counters)} only read the table)"
    return ", ".join(said.values())


class View:
    def __init__(self, request: Request) -> None:
        self._request = request
        self._quiet_stdout = request.json or bool(request.command)

    def begin(self, kernel: Path) -> None:
        machine = self._request.machine
        say(f"booting {kernel} ({machine.persona}, --smp {machine.smp}, {machine.memory >> 20} MiB)")
        if self._request.gdb:
            note("QEMU waits for gdb: gdb vmlinux -ex 'target remote :1234'")

    def _print(self, text: str) -> None:
        print(text, file=sys.stderr if self._quiet_stdout else sys.stdout, flush=True)

    def output(self, data: bytes) -> None:
        """Output of the guest's command, unchanged."""
        stream = sys.stderr if self._request.json else sys.stdout
        stream.buffer.write(data)
        stream.flush()

    def section(self, section: Section) -> None:
        if section.name == "dmesg" and self._request.machine.has_rmp:
            self._proofs(section.content.decode(errors="replace"))

    def _proofs(self, dmesg: str) -> None:
        for proof in proofs.find(dmesg):
            mark = "ok" if proof.seen else "--"
            self._print(f"[ {mark} ] {proof.title:22} {proof.line or 'the guest did not say so'}")

    def _json(self, result: dict) -> None:
        if self._request.json:
            print(json.dumps(result, indent=1))

    def interrupted(self, result: dict) -> None:
        self._json(result)
        note(f"report: {result['report']}")

    def close(self, result: dict, qemu_messages: list[str]) -> None:
        self._json(result)
        for line in [*result["module_problems"], *result["trouble"], *qemu_messages,
                     *(f"hint: {hint}" for hint in result["hints"])]:
            if line != result["message"]:
                note(line)
        if result["stalls_missed"]:
            note(f"{result['stalls_missed']} of {len(self._request.stalls)} stalls did not come about: the CPU was not "
                 "that often at their points")
        if self._request.machine.has_rmp and result["guest"]["release"]:
            self._rmpopt(result)
            self._tables(result)
        for line in watch.lines(result["findings"], result["awaited"]):
            self._print(line)
        self._same_as(result)
        self._summary(result)
        if result["status"] != OK:
            error(f"{result['message']} (report: {result['report']})")
        elif self._request.verbose:
            note(f"report: {result['report']}")

    def _rmpopt(self, result: dict) -> None:
        use = rmpopt_use.of(result["plugin"], result["about_rmpopt"], tables.online(result["guest"]),
                            result["no_first_pass"])
        if use:
            self._print(f"[ {use.mark} ] {'RMPOPT':22} {use.text}")
        for line in result["about_rmpopt"]:
            self._print(f"       {'the kernel says':22} {line}")

    def _tables(self, result: dict) -> None:
        both = result["tables"]
        if both["kernel"] is None:
            self._print("The kernel's table was not there at the end; the plugin's:" if both["lost"] else
                        "This kernel shows no table of its own; the plugin's:")
        for line in both["text"]:
            self._print(line)
        if both["kernel"] is not None and both["plugin"] is not None and not both["differ"]:
            self._print("Kernel and plugin agree.")

    def _same_as(self, result: dict) -> None:
        schedule = (result["plugin"] or {}).get("schedule")
        if self._request.same_as and schedule and not result["parted"]:
            self._print(f"[ ok ] the same run as {self._request.same_as}: {schedule['events']:,} events, "
                        f"hash {schedule['hash']}")

    def _summary(self, result: dict) -> None:
        guest, seconds = result["guest"], result["seconds"]
        if guest["release"]:
            self._print(f"Linux {guest['release']}, {len(guest['siblings'])} CPUs: init after {seconds['init']:.1f} s, "
                        f"all done after {seconds['total']:.1f} s of this machine's time")
        plugin = result["plugin"]
        if plugin:
            counters = plugin.get("counters", {})
            self._print(f"{tables.how_many(plugin, tables.online(guest))}; {counts(counters)}")
            if about_guests := guests.line(plugin):
                self._print(about_guests)
        if result["guest_stages"]:
            self._print(guest_stages.line(result["guest_stages"]))
