# SPDX-License-Identifier: GPL-2.0-or-later
"""What --require asks for. The machine decides whether it is there: the kernel's words alone prove nothing, but a
proof that it does not give is missing."""
from collections.abc import Sequence

from ..base.errors import BadInput
from . import rmpopt_use, tables

SNP, RMPOPT = "snp", "rmpopt"


def parse(text: str) -> list[str]:
    wanted = text.split(",")
    if not {*wanted} <= {SNP, RMPOPT}:
        raise BadInput(f"--require {text}: give {SNP}, {RMPOPT}, or {SNP},{RMPOPT}")
    return wanted


def missing(wanted: Sequence[str], result: dict) -> str:
    """What is required, but not there at the end of a boot with this result; "" if nothing is missing."""
    if not wanted:
        return ""
    if result["plugin"] is None:
        return "the plugin left no report, so nothing shows what is required"
    reasons = [f"SNP ({why})"] if SNP in wanted and (why := _no_snp(result)) else []
    reasons += [f"RMPOPT ({why})"] if RMPOPT in wanted and (why := _no_rmpopt(result)) else []
    return f"required, but missing: {' and '.join(reasons)}" if reasons else ""


def _no_snp(result: dict) -> str:
    unseen = [proof["title"] for proof in result["proofs"] if not proof["line"]]
    if result["plugin"].get("psp", {}).get("snp_state") != "init":
        what = "at the end, firmware is not initialised for it"
    elif unseen:
        what = f"the guest did not show: {', '.join(unseen)}"
    else:
        return ""
    return "; ".join([what, *result["trouble"][:1], *result["hints"][:1]])


def _no_rmpopt(result: dict) -> str:
    use = rmpopt_use.of(result["plugin"], result["about_rmpopt"], tables.online(result["guest"]),
                        result["no_first_pass"])
    if use is None:
        return "this machine has none"
    return "" if use.mark == "ok" else use.text
