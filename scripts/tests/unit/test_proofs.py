# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's messages about SNP are recognised, and no others."""
import unittest

from rmpopt_cli.guest import proofs

BOOT = """\
[    0.000000] Command line: console=ttyS0 rdinit=/.rmpopt/bin/busybox -- sh /.rmpopt/init
[    0.000000] SEV-SNP: Segmented RMP base table physical range [0x00000001fde00000 - 0x00000001fde05000]
[    1.119188] AMD-Vi: IOMMU SNP support enabled.
[    1.297476] ccp 0000:00:02.0: SEV-SNP API:1.55 build:25
[    1.301677] SEV-SNP: RMPOPT: pass over [mem 0x0-0x1ffffffff]: 6 of 8 regions optimized, 2 cores
[    1.304379] kvm_amd: SEV-SNP enabled (ASIDs 1 - 99)
"""


class ProofsTest(unittest.TestCase):
    def test_complete_boot(self) -> None:
        self.assertTrue(all(proof.seen for proof in proofs.find(BOOT)))
        self.assertEqual(len(proofs.about_rmpopt(BOOT)), 1)
        self.assertEqual(proofs.trouble(BOOT), [])

    def test_each_line_is_needed(self) -> None:
        lines = BOOT.splitlines(keepends=True)
        for missing in (1, 2, 3, 5):
            text = "".join(lines[:missing] + lines[missing + 1:])
            self.assertEqual(sum(not proof.seen for proof in proofs.find(text)), 1)

    def test_layouts(self) -> None:
        contiguous = "[    0.0] SEV-SNP: RMP table physical range [0x1 - 0x2]\n"
        self.assertTrue(proofs.find(contiguous)[0].seen)
        self.assertEqual([proofs.layout(text) for text in (BOOT, contiguous, "")], ["segmented", "contiguous", "none"])

    def test_trouble(self) -> None:
        text = "[    0.1] AMD-Vi: SNP: IOMMU disabled, SNP cannot be supported.\n"
        self.assertEqual(len(proofs.trouble(text)), 1)

    def test_panic(self) -> None:
        self.assertEqual(proofs.panic("x\n[ 1.0] Kernel panic - not syncing: VFS: no root\n"), "VFS: no root")
        self.assertEqual(proofs.panic("all is well"), "")

    def test_panic_because_of_the_initrd(self) -> None:
        text = ("[ 0.7] compression method xz not configured\n[ 0.8] Initramfs unpacking failed: decompressor failed\n"
                "/.rmpopt/init: exec: [    1.4] Kernel panic - not syncing: Attempted to kill init!\n")
        self.assertEqual(proofs.panic(text), "Attempted to kill init! (compression method xz not configured; Initramfs "
                         "unpacking failed: decompressor failed; the initrd has no /init that can be executed)")


if __name__ == "__main__":
    unittest.main()
