# SPDX-License-Identifier: GPL-2.0-or-later
"""Advice for a guest whose kernel did not get SNP going."""
import re
from collections.abc import Callable
from dataclasses import dataclass

from . import proofs

SEGMENTED_SINCE = (6, 14)  # Linux knows the segmented RMP


@dataclass(frozen=True)
class Seen:
    """What a boot has shown."""
    dmesg: str
    release: str  # of the kernel
    layout: str   # of the RMP that the plugin made

    @property
    def version(self) -> tuple[int, ...]:
        return tuple(int(number) for number in re.findall(r"\d+", self.release)[:2])

    def word(self, pattern: str) -> str:
        """The word of the kernel's command line that a pattern matches; "" if there is none."""
        line = re.search(r"Command line: (.*)", self.dmesg)
        return next((word for word in (line[1].split() if line else []) if re.fullmatch(pattern, word)), "")

    def says(self, pattern: str) -> bool:
        return re.search(pattern, self.dmesg) is not None


def _leave_out(pattern: str, why: str) -> Callable[[Seen], str]:
    def hint(seen: Seen) -> str:
        word = seen.word(pattern)
        return f"{why}: leave '{word}' out of the kernel's command line" if word else ""
    return hint


def _too_old(seen: Seen) -> str:
    if seen.layout != "segmented" or proofs.layout(seen.dmesg) != "none" or not (0,) < seen.version < SEGMENTED_SINCE:
        return ""
    return (f"Linux {seen.release} is older than 6.14 and knows no segmented RMP: take --persona genoa, or "
            "--rmp contiguous")


def _no_host_support(seen: Seen) -> str:
    if proofs.layout(seen.dmesg) != "none":
        return ""
    return ("the kernel did not look for an RMP: has it CONFIG_AMD_MEM_ENCRYPT and CONFIG_KVM_AMD_SEV? "
            "guest-tests/linux/kernel.config has all that it needs")


def _no_driver(seen: Seen) -> str:
    if seen.says(r"\] ccp "):
        return ""
    return ("no driver took the secure processor: is ccp built in (CONFIG_CRYPTO_DEV_SP_PSP)? If it is a module, give "
            "--modules")


def _no_kvm(seen: Seen) -> str:
    if seen.says(r"\] kvm_amd: "):
        return ""
    return "kvm_amd did not start: is it built in? If it is a module, give --modules"


# The likeliest reason comes first.
HINTS: tuple[Callable[[Seen], str], ...] = (
    _leave_out(r"nosmt(=force)?|(maxcpus|nr_cpus|possible_cpus)=\d+", "SNP needs all CPUs"),
    _leave_out(r"(amd_iommu|iommu)=off", "SNP needs the IOMMU"),
    _leave_out(r"iommu=pt|iommu\.passthrough=1", "this CPU has SNP only where the IOMMU translates"),
    _leave_out(r"kvm[_-]amd\.(sev|sev_es|sev_snp)=[0nN]|clearcpuid=\S*sev\S*", "it switches SNP off"),
    _too_old,
    _no_host_support,
    _no_driver,
    _no_kvm,
)


def of(seen: Seen) -> list[str]:
    """Hints for a kernel that lacks a proof of SNP; the likeliest one is the first."""
    if all(proof.seen for proof in proofs.find(seen.dmesg)):
        return []
    return [text for hint in HINTS if (text := hint(seen))]
