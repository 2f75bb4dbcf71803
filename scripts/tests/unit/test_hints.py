# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel that did not get SNP going leads to advice that helps; one that did leads to none."""
import unittest

from rmpopt_cli.guest import hints
from .test_proofs import BOOT

FULL = BOOT + "[    1.3] ccp 0000:00:02.0: sev enabled\n"


def of(dmesg: str, release: str = "7.3.4", layout: str = "segmented") -> list[str]:
    return hints.of(hints.Seen(dmesg, release, layout))


def without(*patterns: str, words: str = "") -> str:
    """The log of a good boot without some lines, and with more words on the command line."""
    kept = [line for line in FULL.splitlines() if not any(pattern in line for pattern in patterns)]
    return "\n".join(kept).replace("console=ttyS0", f"console=ttyS0 {words}") + "\n"


class HintsTest(unittest.TestCase):
    def test_nothing_to_advise(self) -> None:
        self.assertEqual(of(FULL), [])
        self.assertEqual(of(without(words="nosmt")), [])

    def test_words_of_the_command_line(self) -> None:
        for word in ("nosmt", "nosmt=force", "maxcpus=2", "nr_cpus=1", "amd_iommu=off", "iommu=off", "iommu=pt",
                     "iommu.passthrough=1", "kvm_amd.sev=0", "kvm-amd.sev_snp=n", "clearcpuid=sev_snp"):
            found = of(without("SEV-SNP enabled", "SEV-SNP API", words=word))
            self.assertIn(f"leave '{word}' out", found[0])
        for word in ("nosmtx", "xnosmt", "amd_iommu=on", "kvm_amd.sev=1", "iommu=nopt"):
            self.assertEqual(of(without("SEV-SNP enabled", words=word))[:1], ["kvm_amd did not start: is it built in? "
                                                                             "If it is a module, give --modules"])

    def test_kernel_too_old(self) -> None:
        unaware = without("SEV-SNP")
        self.assertIn("6.12.117+deb13-amd64 is older than 6.14", of(unaware, "6.12.117+deb13-amd64")[0])
        for release, layout in (("6.12.117", "contiguous"), ("6.14.0", "segmented"), ("7.3.4", "segmented"),
                                ("", "segmented")):
            self.assertIn("did not look for an RMP", of(unaware, release, layout)[0])

    def test_modules_missing(self) -> None:
        self.assertEqual([hint.partition(":")[0] for hint in of(without("ccp", "kvm_amd"))],
                         ["no driver took the secure processor", "kvm_amd did not start"])


if __name__ == "__main__":
    unittest.main()
