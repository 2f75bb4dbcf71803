// SPDX-License-Identifier: GPL-2.0-or-later
// The IOMMU as SNP sees it: the ACPI table that announces it, and the memory that it writes.
//
// Pure functions; nothing here knows QEMU. announce_iommu_snp() is not thread-safe: called while
// the boot CPU is about to enter long mode and no other CPU runs.
#pragma once

#include "hw-model/base/memory_view.h"

#include <string>
#include <vector>

namespace rmpopt
{

/// Result of announce_iommu_snp().
struct iommu_setup {
    unsigned blocks = 0;         ///< IVHD blocks that now announce SNP
    hw::spa_t register_base = 0; ///< MMIO base of the (first) IOMMU, 0 without one
    std::string error;           ///< why there is none; empty otherwise
};

/// Sets EFR[SNPSup] and EFR2[13] (SNP page mode 0) in every IVHD of types 11h and 40h of the ACPI
/// IVRS table and mends the checksum. Linux believes the IVRS, not the registers.
iommu_setup announce_iommu_snp(const hw::memory_view &memory);

/// The raw IOMMU registers that say where it writes.
struct iommu_registers {
    std::uint64_t event_base = 0; ///< 0x10
    std::uint64_t ppr_base = 0;   ///< 0x38
    std::uint64_t excl_base = 0;  ///< 0x20; completion-wait range when SNP is on
    std::uint64_t excl_limit = 0; ///< 0x28
};

/// Pages that the IOMMU writes: event log, PPR log, completion-wait range.
std::vector<hw::spa_range> iommu_buffers(const iommu_registers &regs);

} // namespace rmpopt
