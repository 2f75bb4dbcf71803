# SPDX-License-Identifier: GPL-2.0-or-later
"""Small runs of the standard experiments."""
import json
import tempfile
from pathlib import Path

from .errors import OK
from .paths import PROGRAM
from .shell import last_line, output
from .suites import Checks

TAKES_AT_MOST = 600


def _run(directory: str, *words: str) -> tuple[list[dict], str | None]:
    status, text, problems = output([PROGRAM, "experiment", "--repeat", "1", "--json", "--output", directory, *words],
                                    timeout=TAKES_AT_MOST)
    if status != OK:
        return [], f"status {status}: {last_line(problems) or last_line(text)}"
    return json.loads(text)["experiments"][0]["readings"], None


def _workloads() -> str | None:
    """Without RMPOPT nothing is skipped, with guests in all regions neither; otherwise most of a copy over memory."""
    with tempfile.TemporaryDirectory(prefix="rmpopt-") as directory:
        readings, problem = _run(directory, "workloads", "--mem", "6G", "--work", "memcpy", "--case", "off", "--case", "on",
                                 "--case", "guests in all")
        if problem:
            return problem
        missing = [name for name in ("workloads.json", "workloads.txt", "workloads.svg")
                   if not Path(directory, name).is_file()]
    rates = {reading["case"]: (reading["store_rate"], reading["fill_rate"]) for reading in readings
             if reading["phase"] == "memcpy"}
    if missing or set(rates) != {"off", "on", "guests in all"}:
        return f"no {', '.join(missing)}; cases {', '.join(rates)}"
    if rates["off"] != (0, 0) or rates["guests in all"] != (0, 0) or min(rates["on"]) < 0.2:
        return f"skipped: {rates}"
    return None


def _passes() -> str | None:
    """A second pass finds most regions in the table."""
    with tempfile.TemporaryDirectory(prefix="rmpopt-") as directory:
        readings, problem = _run(directory, "passes", "--mem", "3G")
    if problem:
        return problem
    work = {reading["phase"]: reading["rmpopt"] for reading in readings}
    first, second, full = (work[name] for name in ("empty first time", "empty second time", "guests everywhere"))
    if not 0 < second["scanned_2m"] < first["scanned_2m"] or not full["executed"] or not second["cached"]:
        return f"RMPOPT's work: {work}"
    if full["optimised"] >= second["optimised"]:
        return f"regions with guests were optimised: {work}"
    return None


def experiment_tests() -> Checks:
    return [("measure/experiment workloads", _workloads), ("measure/experiment passes", _passes)]
