# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs small experiments as a user does, and compares their results with what is known beforehand."""
import json
from pathlib import Path

from rmpopt_cli.base.errors import Failure
from rmpopt_cli.experiments.catalogue import AFTER_GUEST, EMPTY_AGAIN, EMPTY_FIRST, FULL
from .command import Checks, rmpopt, scratch

CORES = 2  # of --smp 2
ENTRIES = 512  # 2 MB entries in a region
LOAD = "forks"


def _run(directory: str, *words: str) -> dict:
    """The experiment's part of experiment.json."""
    done = rmpopt("experiment", *words, "--json", "--repeat", "1", "--output", directory)
    if done.failure:
        raise Failure(done.failure)
    kept = json.loads(Path(directory, "experiment.json").read_text())
    if done.json() != kept:
        raise Failure("experiment.json is not what was printed")
    return kept["experiments"][0]


def _values(shown: dict, number: int = 0) -> dict[tuple[str, str], float]:
    return {(cell["row"], cell["column"]): cell["mean"] for cell in shown["tables"][number]["cells"]}


def _passes() -> str | None:
    """A first pass must read all entries of each clean region once, a second one none of them, and one after a small
    guest at most those of its regions. With a full RMP, the first entry of a region is enough. Firmware may get or
    return a page during the first pass."""
    with scratch() as directory:
        shown = _run(directory, "passes", "--mem", "3G", "--smp", "2")
    values, [boot] = _values(shown), shown["boots"]
    for phase in (EMPTY_FIRST, EMPTY_AGAIN, AFTER_GUEST, FULL):
        passes, executed = values[phase, "passes"], values[phase, "RMPOPT"]
        if passes < 1 or executed != passes * boot["regions"] * CORES:
            return f"{phase}: {passes:.0f} passes, {executed:.0f} RMPOPT"
    first, again, after, full = (values[phase, "2 MB entries"]
                                 for phase in (EMPTY_FIRST, EMPTY_AGAIN, AFTER_GUEST, FULL))
    clean = values[EMPTY_FIRST, "that scan"] - values[EMPTY_AGAIN, "that scan"]
    if clean < 1 or abs(first - again - clean * ENTRIES) > ENTRIES or not 0 < full < ENTRIES or \
            not again <= after <= first:
        return f"2 MB entries: first {first:.0f}, second {again:.0f}, after a guest {after:.0f}, full {full:.0f}; " \
               f"{clean:.0f} clean regions"
    return None


def _workloads() -> str | None:
    """Without RMPOPT, or with guests in all regions, no check may be saved, and no region with a guest may be
    optimised. How much a workload gains from the other regions is a matter of chance on so small a host, and so is
    whether the pages that the kernel gave to firmware share a region with a guest."""
    names = ("off", "on", "1/2", "all")
    settings = [word for name in names for word in ("--setting", name)]
    with scratch() as directory:
        shown = _run(directory, "workloads", "--mem", "3G", "--phase", LOAD, "--jobs", "2", *settings)
        missing = [name for name in ("experiment.txt", "experiment.svg", "workloads/1-of-2.1/report.json")
                   if not Path(directory, name).is_file()]
    if missing:
        return f"no {', '.join(missing)}"
    off, on, half, everywhere = (_values(shown).get((LOAD, name)) for name in names)
    if off != 0 or everywhere != 0 or half is None or not on:
        return f"skip rates: off {off}, on {on}, 1/2 {half}, all {everywhere}"
    return _optimised({boot["setting"]: boot for boot in shown["boots"]})


def _optimised(boots: dict[str, dict]) -> str | None:
    optimised = {name: boot["optimised"] for name, boot in boots.items()}
    free = {name: boot["regions"] - len(boot["guests_in"]) for name, boot in boots.items()}
    guests = [len(boots[name]["guests_in"]) for name in ("on", "1/2", "all")]
    if not guests[0] < guests[1] < guests[2]:
        return f"regions with guests: {guests}"
    if optimised["off"] or any(optimised[name] > free[name] for name in free) or \
            not optimised["on"] > optimised["all"] or optimised["1/2"] < optimised["all"]:
        return f"optimised regions: {optimised}; without guests: {free}"
    return None


def _snp_guest() -> str | None:
    """Checks of the host must be saved before, beside and after the guest, how many is a matter of chance; of the
    guest's own, none."""
    phases = [f"memcpy {when}" for when in ("before", "beside", "after")]
    with scratch() as directory:
        shown = _run(directory, "snp-guest", "--mem", "4G", *(word for name in phases for word in ("--phase", name)))
        cells = json.loads(Path(directory, "snp-guest/on.1/report.json").read_text())["measure"]["cells"]
    rates = {name: _values(shown).get((name, "on")) for name in phases}
    if not all(rates.values()):
        return f"skip rates: {rates}"
    own = [cell for cell in cells if cell[2] == "snp-guest"]
    return None if own and not any(skipped for *_, skipped, _off in own) else f"stores of the guest: {own}"


def tests() -> Checks:
    return [("experiment/passes", _passes), ("experiment/workloads", _workloads), ("experiment/snp-guest", _snp_guest)]
