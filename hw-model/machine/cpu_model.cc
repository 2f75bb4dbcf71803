// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/machine/cpu_model.h"

#include <algorithm>
#include <array>

namespace rmpopt::hw
{

namespace
{

// Families and models by generation as Linux 7.3 groups them. ASID counts as those parts report
// them in CPUID 8000_001F ECX, seen in public bug reports (AMDESE/AMDSEV, issue 271): 509 on Milan,
// 1006 on Genoa and, assumed, later. The split between SEV and SEV-ES is a BIOS setting, 100 here:
// not documented. An RMP entry holds GPA bits 50:12 as far as physical addresses go: 48 bits on
// Milan, 52 on Genoa (T. Lendacky, coconut-svsm issue 22). tcb_snp stays below the level (0x1b on
// family 19h, 4 on 1Ah) from which Linux stops offering plain SEV-ES guests, so that all guest
// types remain testable. Firmware versions: 1.55.25 is the one that Linux was tried with; Genoa
// tells whether it has checked for aliases from 1.55.38 on (virtee/sev), Turin is assumed to be as
// old; 1.58.5 comes from the log of a machine with a segmented RMP (AMDESE/AMDSEV, README).
// SNP_VERIFY_MITIGATION is of ABI 1.58 (Linux 7.3); which mitigations there are is not public.
// Ciphertext hiding is of Zen 5 (Linux, kvm_amd.ciphertext_hiding_asids); that the same parts can
// switch RAPL off, and that only Zen 6 has EFR2[13], is assumed.
constexpr std::array<cpu_model, 4> table{{
    {.name = "venice",
     .description = "Zen 6 EPYC: segmented RMP, RMPREAD, RMPOPT",
     .family = 0x1a,
     .model_first = 0x50,
     .model_last = 0x5f,
     .layout = rmp_layout::segmented,
     .segmented_rmp = true,
     .rmpread = true,
     .rmpopt = true,
     .asids = 1006,
     .min_sev_asid = 100,
     .tcb_snp = 3,
     .firmware = {.minor = 58, .build = 5},
     .ciphertext_hiding = true,
     .rapl_disable = true,
     .mitigations = 1,
     .iommu_page_mode_0 = true},
    {.name = "turin",
     .description = "Zen 5 EPYC: segmented RMP, RMPREAD",
     .family = 0x1a,
     .model_first = 0x00,
     .model_last = 0x2f,
     .layout = rmp_layout::segmented,
     .segmented_rmp = true,
     .rmpread = true,
     .asids = 1006,
     .min_sev_asid = 100,
     .tcb_snp = 3,
     .firmware = {.build = 38},
     .ciphertext_hiding = true,
     .rapl_disable = true},
    {.name = "genoa",
     .description = "Zen 4 EPYC: contiguous RMP, raw entries",
     .family = 0x19,
     .model_first = 0x10,
     .model_last = 0x1f,
     .asids = 1006,
     .min_sev_asid = 100,
     .tcb_snp = 0x16,
     .firmware = {.build = 38}},
    {.name = "milan",
     .description = "Zen 3 EPYC: contiguous RMP, raw entries",
     .family = 0x19,
     .model_first = 0x00,
     .model_last = 0x0f,
     .gpa_bits = 48,
     .asids = 509,
     .min_sev_asid = 100,
     .tcb_snp = 0x16},
}};

} // namespace

std::span<const cpu_model> cpu_models()
{
    return table;
}

const cpu_model *find_cpu_model(std::string_view name)
{
    const auto *it = std::ranges::find(table, name, &cpu_model::name);
    return it == table.end() ? nullptr : it;
}

} // namespace rmpopt::hw
