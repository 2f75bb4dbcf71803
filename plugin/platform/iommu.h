// SPDX-License-Identifier: GPL-2.0-or-later
// What SNP needs of the IOMMU: its SNP support in the ACPI IVRS, whether it is on, and the buffers
// that it writes.
//
// Pure functions, independent of QEMU. announce_iommu_snp() is not thread-safe: it is called while
// the boot CPU is about to enter long mode and no other CPU runs.
#pragma once

#include "hw-model/base/memory_view.h"
#include "hw-model/machine/machine.h"

#include <string>

namespace rmpopt
{

/// Result of announce_iommu_snp().
struct iommu_setup {
    unsigned blocks = 0;         ///< IVHD blocks that now announce SNP
    hw::spa_t register_base = 0; ///< MMIO base of the first IOMMU; 0 without one
    std::string error;           ///< why SNP could not be announced; empty on success
};

/// Sets EFR[SNPSup], and EFR2[13] (SNP page mode 0) if the CPU model has it, in every IVHD of type
/// 11h or 40h of the ACPI IVRS and updates the checksum. That suffices: Linux reads SNP support
/// from the IVRS, not from the IOMMU's registers.
iommu_setup announce_iommu_snp(const hw::memory_view &memory, bool page_mode_0);

/// Raw values of the IOMMU's control register and of those that hold the addresses of its buffers.
struct iommu_registers {
    std::uint64_t control = 0;    ///< 0x18
    std::uint64_t event_base = 0; ///< 0x10
    std::uint64_t ppr_base = 0;   ///< 0x38
    std::uint64_t excl_base = 0;  ///< 0x20; completion-wait range when SNP is on
    std::uint64_t excl_limit = 0; ///< 0x28
};

/// Whether the IOMMU is on, and the pages that it writes: event log, PPR log, completion-wait
/// range.
hw::iommu_state state_of_iommu(const iommu_registers &regs);

} // namespace rmpopt
