# SPDX-License-Identifier: GPL-2.0-or-later
"""How long the boot of an SNP guest took, by stage, in seconds of the emulated host's clock.

The plugin's events say when firmware created, launched and ended the guest. The host's script writes the uptime of its
kernel for the rest, with what the guest's init said of its own kernel's. Both see the guest's end, which is where the
two clocks are laid beside each other: firmware's last command comes some hundredths of a second before the script.
"""
import json
from pathlib import Path

# What each stage ends with: QEMU's start, SNP_GCTX_CREATE, SNP_LAUNCH_FINISH, the start of the guest's kernel (its
# clock), its init, the end of its command, and the end of the guest.
STAGES = ("host", "qemu", "launch", "firmware", "kernel", "command", "end")


def of(events: Path, times: Path) -> dict[str, float] | None:
    """None unless there was one guest that came to its end."""
    try:
        said = _said(times.read_text())
        at = _firmware([json.loads(line) for line in events.read_text().splitlines()])
        shift = at["ended"] - said["ended"][0]
        init, kernel_has_run = said["init"]
        moments = (0.0, said["qemu"][0] + shift, at["created"], at["launched"], init - kernel_has_run + shift,
                   init + shift, said["done"][0] + shift, at["ended"])
    except (OSError, ValueError, LookupError):
        return None
    return {stage: round(end - start, 2) for stage, start, end in zip(STAGES, moments, moments[1:])}


def _said(text: str) -> dict[str, list[float]]:
    """By their word, lines such as '12.34 init 5.67': the host's uptime, a word, more numbers."""
    return {words[1]: [float(number) for number in (words[0], *words[2:])]
            for words in map(str.split, text.splitlines())}


def _firmware(events: list[dict]) -> dict[str, float]:
    found = {event["action"]: event["t"] for event in events if event["type"] == "guest"}
    if sum(event["type"] in ("guest", "boot") for event in events) != len(found) + 1:
        raise LookupError("another guest, or a host that was reset")
    return found


def line(stages: dict[str, float]) -> str:
    return f"the SNP guest's boot: {', '.join(f'{name} {seconds:.1f} s' for name, seconds in stages.items())}"
