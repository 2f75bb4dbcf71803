# SPDX-License-Identifier: GPL-2.0-or-later
"""Why guests with encrypted memory (SEV, SEV-ES, SNP) left or were interrupted, as rows of a table and as one line."""
MOST_SHOWN = 4  # causes in the line


def _by_number(counts: dict[str, int]) -> list[str]:
    return [f"{name} {n:,}" for name, n in sorted(counts.items(), key=lambda one: (-one[1], one[0]))]


def _causes(counts: dict[str, int]) -> str:
    return ", ".join(_by_number(counts))


def rows(report: dict) -> list[tuple[int, str, str]]:
    """Number, what it counts, and a remark; none if no such guest has run."""
    counts = report.get("encrypted_guests")
    if not counts:
        return []
    found = [(counts["entries"], "VMRUN", "")]
    found += [(sum(counts[key].values()), name, _causes(counts[key]))
              for key, name in (("exits", "exits to the host"), ("vc", "#VC in the guest"),
                                ("requests", "requests by VMGEXIT"))]
    return found + [(counts["tlb_fills"], "fills of QEMU's TLB", ""),
                    (counts["page_faults"], "page faults of the guest's own", ""),
                    (counts["rmp_faults"], "nested page faults by the RMP", ""),
                    (counts["pvalidate"], "PVALIDATE", f"{counts['pvalidate_unchanged']:,} changed nothing"),
                    (counts["rmpadjust"], "RMPADJUST", "")]


def line(report: dict) -> str:
    """The most important of that; empty if no such guest has run."""
    counts = report.get("encrypted_guests")
    if not counts:
        return ""
    exits = _by_number(counts["exits"])
    more = ", ..." if len(exits) > MOST_SHOWN else ""
    return (f"encrypted guests: VMRUN {counts['entries']:,}; exits {', '.join(exits[:MOST_SHOWN])}{more}; "
            f"#VC {sum(counts['vc'].values()):,}; TLB fills {counts['tlb_fills']:,}; PVALIDATE {counts['pvalidate']:,}")
