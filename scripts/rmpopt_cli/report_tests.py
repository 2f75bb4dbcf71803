# SPDX-License-Identifier: GPL-2.0-or-later
"""A measured boot's report: against its schema, and as a page in a browser."""
import json
import re
import shutil
import subprocess
import tempfile
from html import unescape
from pathlib import Path

from .errors import OK
from .paths import CHECKOUT, PROGRAM
from .reporting.measured import load, sums
from .shell import environment, last_line, output
from .suites import Checks

TAKES_AT_MOST = 200
COMMAND = "rmpopt-mark churn; ls -lR /sys >/dev/null; rmpopt-mark copy; dd if=/dev/zero of=/tmp/file bs=1M count=50; " \
          "rmpopt-mark ''"
LAPTOP = 1280
# What the page can't hide: errors of its own scripts, and its width. Put in front of all else.
PROBE = """<script>
window.problems = [];
window.addEventListener("error", (e) => window.problems.push(String(e.message)));
console.error = console.warn = (...what) => window.problems.push(what.join(" "));
window.addEventListener("load", () => {
  const slider = document.getElementById("slider");
  slider.value = slider.min;
  slider.dispatchEvent(new Event("input"));
  document.body.dataset.problems = JSON.stringify(window.problems);
  document.body.dataset.width = document.documentElement.scrollWidth;
  document.body.dataset.drawn = [...document.querySelectorAll("svg")].every((s) => s.getBoundingClientRect().height > 20);
});
</script>"""


def _measured(directory: str) -> str | None:
    status, text, problem = output([PROGRAM, "boot", "--report", directory, "--measure", "exact+tlb", "--", COMMAND],
                                   timeout=TAKES_AT_MOST)
    return None if status == OK else f"status {status}: {last_line(problem) or last_line(text)}"


def _deviations(directory: str) -> str | None:
    status, text, problem = output([CHECKOUT / "scripts/schema/validate.py", directory], timeout=TAKES_AT_MOST)
    return None if status == OK else last_line(text) or last_line(problem)


def browsed(page: Path) -> str:
    """The page's DOM after its scripts have run, in a window of a laptop's width."""
    browser = shutil.which("chromium")
    if browser is None:
        raise FileNotFoundError("chromium is missing: run 'scripts/rmpopt setup'")
    with tempfile.TemporaryDirectory(prefix="rmpopt-") as directory:
        probed = Path(directory, "page.html")
        probed.write_text(page.read_text().replace("<head>", "<head>" + PROBE, 1))
        done = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={directory}",
             "--host-resolver-rules=MAP * ~NOTFOUND", f"--window-size={LAPTOP},800", "--virtual-time-budget=3000",
             "--dump-dom", probed.as_uri()],
            capture_output=True, text=True, timeout=TAKES_AT_MOST, env=environment(), check=False)
    return done.stdout


def shown(dom: str) -> dict[str, object]:
    """The figures on the page."""
    return {key: json.loads(unescape(value))
            for key, value in re.findall(r'<span data-key="([^"]*)" data-value="([^"]*)"', dom)}


def _expected(directory: Path) -> dict[str, object]:
    measured = load(directory)
    stores, fills = (sums(measured.cells, level, "host") for level in ("store", "fill"))
    figures: dict[str, object] = {
        "host.stores": stores.total, "host.store.rate": stores.rate, "host.fills": fills.total,
        "host.fill.rate": fills.rate, "rmpopt": measured.report["counters"]["rmpopt"],
        "cycles": measured.measure["model"]["rmpopt_cycles"], "rmpupdate": measured.report["counters"]["rmpupdate"]}
    for number, phase in enumerate(measured.phases):
        figures[f"phase{number}.host.stores"] = phase["estimates"][0]["stores"]
        figures[f"phase{number}.host.rate"] = phase["estimates"][0]["skip_rate"]
    return figures


def _page_is_right(directory: Path) -> str | None:
    dom = browsed(directory / "report.html")
    body = re.search(r'<body data-problems="([^"]*)" data-width="(\d+)" data-drawn="(\w+)"', dom)
    if not body:
        return "the page's scripts did not run to their end"
    if unescape(body.group(1)) != "[]":
        return f"errors of the page: {unescape(body.group(1))}"
    if int(body.group(2)) > LAPTOP or body.group(3) != "true":
        return f"{body.group(2)} pixels wide, pictures drawn: {body.group(3)}"
    if re.search(r'(?:src|href)="', dom):
        return "the page wants something from elsewhere"
    figures, expected = shown(dom), _expected(directory)
    wrong = {key for key in figures.keys() | expected.keys() if figures.get(key) != expected.get(key)}
    return f"the page differs from report.json in {', '.join(sorted(wrong))}" if wrong else None


def _report() -> str | None:
    with tempfile.TemporaryDirectory(prefix="rmpopt-") as directory:
        problem = _measured(directory) or _deviations(directory)
        missing = [name for name in ("report.txt", "report.csv", "trace.json", "report.html")
                   if not Path(directory, name).is_file()]
        if problem or missing:
            return problem or f"the boot did not write {', '.join(missing)}"
        return _page_is_right(Path(directory))


def report_tests() -> Checks:
    return [("measure/report: schema, and page in a browser", _report)]
