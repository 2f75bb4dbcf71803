# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks a measured boot's report against its schema, and as a page in a browser."""
import csv
import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

from rmpopt_cli.base.paths import CHECKOUT
from rmpopt_cli.base.shell import environment, output
from rmpopt_cli.guest.tables import parse_cpulist
from rmpopt_cli.reporting.measured import OUTCOMES
from .command import Checks, Done, booted, report_of, rmpopt, scratch

TAKES_AT_MOST = 200
COMMAND = "rmpopt-mark churn; ls -lR /sys >/dev/null; rmpopt-mark copy; dd if=/dev/zero of=/tmp/file bs=1M count=50; " \
          "rmpopt-mark ''"
LAPTOP = 1280
# Collects errors in the page's own scripts, and its width. It is inserted before everything else.
PROBE = """<script>
window.problems = [];
window.addEventListener("error", (e) => window.problems.push(String(e.message)));
window.addEventListener("unhandledrejection", (e) => window.problems.push(String(e.reason)));
console.error = console.warn = (...what) => window.problems.push(what.join(" "));
window.addEventListener("load", () => {
  const slider = document.getElementById("slider");
  for (const at of slider ? [slider.min, slider.max] : []) {
    slider.value = at;
    slider.dispatchEvent(new Event("input"));
  }
  document.body.dataset.problems = JSON.stringify(window.problems);
  document.body.dataset.width = document.documentElement.scrollWidth;
  const pictures = [...document.querySelectorAll("svg")];
  document.body.dataset.drawn = pictures.every((s) => s.getBoundingClientRect().height > 20);
});
</script>"""


def deviations(directory: Path) -> str | None:
    return Done(*output([CHECKOUT / "scripts/schema/validate.py", directory], timeout=TAKES_AT_MOST)).failure


def browsed(page: Path) -> str:
    """The page's DOM after its scripts have run, in a window of a laptop's width."""
    browser = shutil.which("chromium")
    if browser is None:
        raise FileNotFoundError("chromium is missing: run 'scripts/rmpopt setup'")
    with scratch() as directory:
        probed = Path(directory, "page.html")
        probed.write_text(page.read_text().replace("<head>", "<head>" + PROBE, 1))
        done = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={directory}",
             "--host-resolver-rules=MAP * ~NOTFOUND", f"--window-size={LAPTOP},800", "--virtual-time-budget=3000",
             "--dump-dom", probed.as_uri()],
            capture_output=True, text=True, timeout=TAKES_AT_MOST, env=environment(), check=False)
    return done.stdout


def shown(dom: str) -> dict[str, object]:
    """The numbers on the page."""
    return {key: json.loads(unescape(value))
            for key, value in re.findall(r'<span data-key="([^"]*)" data-value="([^"]*)"', dom)}


def _rates(prefix: str, counted: dict) -> dict[str, object]:
    """The expected numbers of the whole boot or of a phase."""
    figures: dict[str, object] = {}
    for one in counted["estimates"]:
        figures[f"{prefix}{one['accessor']}.stores"] = one["stores"]
        figures[f"{prefix}{one['accessor']}.store.rate"] = one["skip_rate"]
    for one in (counted["tlb"] or {"fills": []})["fills"]:
        figures[f"{prefix}{one['accessor']}.fills"] = one["checked"] + one["skipped"] + one["off"]
        figures[f"{prefix}{one['accessor']}.fill.rate"] = one["skip_rate"]
    return figures


def _expected(report: dict) -> dict[str, object]:
    """The expected numbers, computed from report.json independently of the page's code."""
    measure, counters = report["measure"], report["counters"]
    figures: dict[str, object] = {
        "rmpopt": counters["rmpopt"], "rmpupdate": counters["rmpupdate"], "cycles": measure["model"]["rmpopt_cycles"],
        "table.pairs": sum(len({report["cpu_core"][cpu] for cpu in parse_cpulist(region["optimised_cpus"])})
                           for region in report["regions"])}
    figures.update(_rates("", measure))
    for number, phase in enumerate(measure["phases"]):
        figures.update(_rates(f"phase{number}.", phase))
    return figures


def page_problem(dom: str) -> str | None:
    """The errors that any of our pages may have."""
    body = re.search(r'<body data-problems="([^"]*)" data-width="(\d+)" data-drawn="(\w+)"', dom)
    if not body:
        return "the page's scripts did not run to their end"
    if unescape(body.group(1)) != "[]":
        return f"errors of the page: {unescape(body.group(1))}"
    if int(body.group(2)) > LAPTOP or body.group(3) != "true":
        return f"{body.group(2)} pixels wide, pictures drawn: {body.group(3)}"
    return "the page wants something from elsewhere" if re.search(r'(?:src|href)="', dom) else None


def page_is_right(directory: Path) -> str | None:
    dom = browsed(directory / "report.html")
    figures = {key: value for key, value in shown(dom).items() if not key.startswith("outside.")}
    expected = _expected(report_of(directory))
    wrong = {key for key in expected if figures.get(key, key) != expected[key]}
    wrong |= {key for key in figures.keys() - expected.keys() if figures[key]}  # of what is not there: nothing
    return page_problem(dom) or (f"the page differs from report.json in {', '.join(sorted(wrong))}" if wrong else None)


def _others_are_right(directory: Path) -> str | None:
    """Checks the machine-readable forms and the text."""
    report = report_of(directory)
    stores = sum(one["stores"] for one in report["measure"]["estimates"])
    rows = csv.DictReader((directory / "report.csv").read_text().splitlines())
    if sum(int(row[name]) for row in rows if row["level"] == "store" for name in OUTCOMES) != stores:
        return "report.csv does not add up to report.json"
    if f"{report['measure']['estimates'][0]['stores']:,}  host stores" not in (directory / "report.txt").read_text():
        return "report.txt does not have the stores of report.json"
    slices = [event["name"] for event in json.loads((directory / "trace.json").read_text())["traceEvents"]
              if event["ph"] == "X"]
    return None if slices == ["before the first mark", "churn", "copy"] else f"trace.json has phases {slices}"


def _comparison_is_right(directory: Path) -> str | None:
    """Compares a boot with itself."""
    page = directory / "compare.html"
    done = rmpopt("compare", directory, directory, "--json", "--html", page)
    if done.failure:
        return f"compare: {done.failure}"
    differing = [row["phase"] for row in done.json()["phases"]
                 if row["a"] != row["b"] or row["store_rate_difference"]]
    return f"a boot differs from itself in {', '.join(differing)}" if differing else page_problem(browsed(page))


def _report() -> str | None:
    with booted("--measure", "exact+tlb", "--", COMMAND) as directory:
        missing = [name for name in ("report.txt", "report.csv", "trace.json", "report.html")
                   if not (directory / name).is_file()]
        if missing:
            return f"the boot did not write {', '.join(missing)}"
        return (deviations(directory) or page_is_right(directory) or _others_are_right(directory) or
                _comparison_is_right(directory))


def tests() -> Checks:
    return [("measure/report: schema, and page in a browser", _report)]
