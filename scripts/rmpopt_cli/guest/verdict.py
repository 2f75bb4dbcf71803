# SPDX-License-Identifier: GPL-2.0-or-later
"""What a boot has shown, judged."""
import json
from pathlib import Path

from ..base.errors import OK, SETUP_FAILED, VERDICT
from . import brought, hints, proofs, required, schedule, symbols, tables, watch
from .guest_link import GuestLink
from .request import Request
from .session import Ending
from .workspace import Workspace


LOOK_LONGER = "let the guest go on until that is clear, with --time virtual -- 'sleep 60'"


def _text(link: GuestLink, *names: str) -> str:
    """The first section of these names that the guest sent."""
    for name in names:
        section = link.section(name)
        if section:
            return section.content.decode(errors="replace")
    return ""


def _plugin_report(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _facts(link: GuestLink) -> dict:
    facts: dict = {"release": "", "uptime": 0.0, "siblings": {}}
    for line in _text(link, "facts").splitlines():
        words = line.split()
        if words[:1] == ["release"]:
            facts["release"] = words[1]
        elif words[:1] == ["uptime"]:
            facts["uptime"] = float(words[1])
        elif words[:1] == ["cpu"]:
            facts["siblings"][words[1]] = words[2] if len(words) > 2 else ""
    return facts


def _tables(link: GuestLink, report: dict | None, facts: dict) -> dict:
    """Both tables in Linux's notation, and the regions on which they differ. The plugin's is as of the end, and so must
    the kernel's be."""
    text = _text(link, "table")
    kernel = tables.from_kernel(text) if text and link.is_current("table") else None
    plugin = tables.from_report(report) if report else None
    differ = tables.differences(kernel, plugin) if kernel is not None and plugin is not None else []
    assigned = {r["gb"]: r["assigned_pages"] for r in report.get("regions", [])} if report else {}
    is_used = plugin is not None and any(plugin.values())
    missing = tables.not_optimised(report, tables.online(facts)) if report and is_used else {}
    return {"kernel": _plain(kernel), "plugin": _plain(plugin), "differ": differ, "assigned": assigned,
            "lost": bool(text) and kernel is None,
            "text": tables.side_by_side(kernel, plugin, assigned, missing) if kernel or plugin else []}


def _plain(table: tables.Table | None) -> dict[int, str] | None:
    return None if table is None else {gb: tables.cpulist(cpus) for gb, cpus in table.items()}


def _problem(request: Request, result: dict) -> str:
    """Why what the guest showed is not what was wanted; "" when it is."""
    if not request.machine.has_rmp:
        return ""
    missing = [proof["title"] for proof in result["proofs"] if not proof["line"]]
    if missing and not request.command and not request.shell:
        reasons = [*result["trouble"][:1], *result["hints"][:1]] or ["the kernel did not say why"]
        return f"the guest did not show: {', '.join(missing)} ({'; '.join(reasons)})"
    if result["tables"]["differ"]:
        regions = ", ".join(map(str, result["tables"]["differ"]))
        return f"kernel and plugin disagree on the regions at GiB {regions}"
    if result["plugin"] is None:
        return "the plugin left no report"
    wanted = result["plugin"]["rmp"]["layout"]
    if result["layout"] not in (wanted, "none"):
        return f"the kernel found a {result['layout']} RMP where the plugin made a {wanted} one"
    return ""


def _passes(report: dict | None) -> list[dict]:
    """Those that the watch saw; it keeps the latest ones."""
    return (report and report.get("watch") or {}).get("passes", [])


def _stalls_missed(request: Request, space: Workspace) -> int:
    """How many of the stalls that were asked for did not come about, because the CPU was not at their points."""
    if not request.stalls:
        return 0
    events = [json.loads(line) for line in space.events.read_text().splitlines()] if space.events.exists() else []
    return len(request.stalls) - sum(event["type"] == "stall" for event in events)


def _parted(earlier: Path, request: Request, space: Workspace, names: symbols.Symbols | None) -> str:
    """Where the run differs from an earlier one; "" if it does not."""
    parted = schedule.parting(earlier, space.report, names)
    before, now = schedule.seed_of(earlier), str(request.machine.seed)
    other_seed = f"its seed was {before}, and now it is {now}; " if before not in (None, now) else ""
    return parted and other_seed + parted


def judge(request: Request, link: GuestLink, space: Workspace, ending: Ending,
          names: symbols.Symbols | None = None) -> dict:
    dmesg = _text(link, "dmesg-end", "dmesg")
    space.dmesg.write_text(dmesg)
    report = _plugin_report(space.plugin_report)
    # A command may have cleared the log, or filled it.
    found = proofs.find(f"{_text(link, 'dmesg')}\n{dmesg}") if request.machine.has_rmp else []
    facts = _facts(link)
    layout = (report or {}).get("rmp", {}).get("layout", "none")  # a machine that was refused has none
    advice = hints.of(hints.Seen(dmesg, facts["release"], layout)) if request.machine.has_rmp and dmesg else []
    result = {
        "schema": 2, "outcome": ending.outcome, "status": ending.status, "message": ending.message,
        "guest": facts, "proofs": [{"title": p.title, "line": p.line} for p in found],
        "layout": proofs.layout(dmesg), "trouble": proofs.trouble(dmesg), "hints": advice,
        "passes": _passes(report), "no_first_pass": link.said("no-pass") is not None and not _passes(report),
        "about_rmpopt": proofs.about_rmpopt(dmesg),
        "module_problems": [" ".join(words[1:]) for words in link.words if words[0] == "module-failed"],
        "tables": _tables(link, report, facts), "plugin": report, "findings": watch.findings(report, names),
        "awaited": watch.awaited(report),
        "stalls_missed": _stalls_missed(request, space), "output": link.text("output"), "starts": link.starts,
        "parted": _parted(request.same_as, request, space, names) if request.same_as else "",
        "options": request.chosen(), "report": str(space.report),
    }
    result["missing"] = required.missing(request.require, result)
    if ending.status == OK:
        _settle(request, link, result)
    return result


def _settle(request: Request, link: GuestLink, result: dict) -> None:
    """Outcome of a guest that did its work: the command's status, or our verdict."""
    done, not_brought = link.said("done"), link.said("cannot-bring")
    guest_status = int(done[1]) if done and len(done) > 1 else 0
    problem = _problem(request, result)
    if not_brought:
        result.update(outcome="not-brought", status=SETUP_FAILED,
                      message=f"{' '.join(not_brought[1:])}: {brought.ADVICE}")
    elif guest_status:
        result.update(outcome="guest-exit", status=guest_status,
                      message=f"the command ended with status {guest_status}")
    elif result["missing"]:
        result.update(outcome="verdict", status=VERDICT, message=result["missing"])
    elif request.watch_fatal and watch.serious(result["findings"]):
        result.update(outcome="watch", status=VERDICT, message=watch.summary(result["findings"]))
    elif request.watch_fatal and result["awaited"]:
        result.update(outcome="watch", status=VERDICT,
                      message=f"{result['awaited'][0]}: {LOOK_LONGER}")
    elif result["parted"]:
        result.update(outcome="parted", status=VERDICT, message=f"not the same run: {result['parted']}")
    elif problem:
        result.update(outcome="verdict", status=VERDICT, message=problem)
    else:
        result["outcome"] = "ok"
