# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages of the kernel that show how far SNP was set up."""
import re
from dataclasses import dataclass

SEGMENTED = r"Segmented RMP base table physical range"
CONTIGUOUS = r"RMP table physical range"
INITRD = r"compression method \S+ not configured|Initramfs unpacking failed"
TROUBLE = re.compile(r"SNP cannot be supported|RMP table has not been reserved|RMP configuration not valid|"
                     r"SNP init failed|does not cover full system RAM|SEV-SNP: .* failed|RMP violation|"
                     r"SEV-SNP disabled|Leaking PFN|" + INITRD)
HANDOVER_FAILED = "/.rmpopt/init: exec:"  # says our shell
TIMESTAMP = re.compile(r"^(?:<\d+>)?\[\s*\d+\.\d+\]\s*")


@dataclass
class Proof:
    title: str
    line: str  # "" if the guest did not print it

    @property
    def seen(self) -> bool:
        return bool(self.line)


def _first(lines: list[str], pattern: str) -> str:
    expression = re.compile(pattern)
    return next((line for line in lines if expression.search(line)), "")


def messages(dmesg: str) -> list[str]:
    return [TIMESTAMP.sub("", line) for line in dmesg.splitlines()]


def find(dmesg: str) -> list[Proof]:
    lines = messages(dmesg)
    return [
        Proof("RMP probed", _first(lines, f"{SEGMENTED}|{CONTIGUOUS}")),
        Proof("IOMMU ready for SNP", _first(lines, r"IOMMU SNP support enabled")),
        Proof("SNP initialised", _first(lines, r"SEV-SNP API:")),
        Proof("KVM offers SNP", _first(lines, r"SEV-SNP enabled \(ASIDs")),
    ]


def layout(dmesg: str) -> str:
    """The layout of the RMP that the kernel found, by the plugin's name for it."""
    lines = messages(dmesg)
    return "segmented" if _first(lines, SEGMENTED) else "contiguous" if _first(lines, CONTIGUOUS) else "none"


def about_rmpopt(dmesg: str) -> list[str]:
    """What the kernel says of RMPOPT."""
    return [line for line in messages(dmesg) if re.search(r"rmpopt", line, re.I) and "/.rmpopt/" not in line
            and not line.startswith("Linux version")]


def trouble(dmesg: str) -> list[str]:
    return [line for line in messages(dmesg) if TROUBLE.search(line)]


def panic(console: str) -> str:
    """The reason of a kernel panic, with what the kernel said of the initrd before it; "" if there was none."""
    found = re.search(r"Kernel panic - not syncing: (.*)", console)
    if not found:
        return ""
    before = [line for line in messages(console) if re.search(INITRD, line)]
    if HANDOVER_FAILED in console:
        before.append("the initrd has no /init that can be executed")
    return found.group(1).strip() + (f" ({'; '.join(before)})" if before else "")
