// SPDX-License-Identifier: GPL-2.0-or-later
// The CPU models (`persona=` on the command line): what distinguishes one EPYC generation from the
// next for SNP host software.
#pragma once

#include "hw-model/rmp/rmp_table.h"

#include <span>
#include <string_view>

namespace rmpopt::hw
{

/// Version of the secure processor's API.
struct firmware_version {
    std::uint8_t major = 1, minor = 55, build = 25;
};

struct cpu_model {
    std::string_view name;
    std::string_view description;
    unsigned family = 0; ///< CPUID 1 family, as Linux prints it
    unsigned model_first = 0, model_last = 0;
    rmp_layout layout = rmp_layout::contiguous; ///< what the BIOS sets up by default
    bool segmented_rmp = false;                 ///< CPUID 8000_001F EAX[23], leaf 8000_0025
    bool rmpread = false;                       ///< CPUID 8000_001F EAX[21]
    bool rmpopt = false;                        ///< CPUID 8000_0025 EDX[0]
    unsigned gpa_bits = 51;                     ///< of the GPA that an RMP entry holds
    unsigned asids = 0;                         ///< CPUID 8000_001F ECX
    unsigned min_sev_asid = 0;                  ///< CPUID 8000_001F EDX; SNP uses 1..min-1
    unsigned segment_shift = 36;                ///< log2 bytes covered by one segment
    unsigned cacheable_segments = 64;           ///< CPUID 8000_0025 EBX[9:0], 1..512
    bool rst_hard_limit = false;                ///< EBX[10]: no segments beyond those
    std::uint8_t tcb_snp = 0;                   ///< firmware's SNP security version
    firmware_version firmware{};
    bool ciphertext_hiding = false; ///< SNP_FEATURE_INFO ECX[3]
    bool rapl_disable = false;      ///< SNP_FEATURE_INFO ECX[2]
    std::uint64_t mitigations = 0;  ///< SNP_VERIFY_MITIGATION, FEATURE_INFO ECX[13]; 0: not offered
    bool iommu_page_mode_0 = false; ///< EFR2[13]: SNP with IOMMU domains in passthrough mode
};

std::span<const cpu_model> cpu_models();
/// nullptr when there is no such CPU model.
const cpu_model *find_cpu_model(std::string_view name);

} // namespace rmpopt::hw
