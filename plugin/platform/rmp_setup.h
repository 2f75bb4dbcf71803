// SPDX-License-Identifier: GPL-2.0-or-later
// What a BIOS leaves behind for an SNP host: memory for the RMP that the operating system's memory
// map calls reserved, the segment table, and an IVRS that says that the IOMMU supports SNP.
//
// Pure functions over system memory; nothing here knows QEMU. Not thread-safe: called while the
// boot CPU is about to enter long mode and no other CPU runs.
#pragma once

#include "hw-model/base/memory_view.h"
#include "hw-model/rmp/rmp_table.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace rmpopt
{

/// What prepare_rmp() needs to know.
struct rmp_request {
    hw::rmp_layout layout = hw::rmp_layout::segmented;
    unsigned segment_shift = 36;
    /// Address of Linux's boot_params, when Linux was started by its own boot protocol.
    std::optional<hw::spa_t> boot_params;
    /// Address of the hvm_start_info, when the guest was started by the PVH protocol.
    std::optional<hw::spa_t> pvh_start_info;
    /// Zeroes a range of system memory without touching what is zero already.
    std::function<void(hw::spa_range)> zero;
};

struct rmp_setup {
    hw::rmp_config config;
    hw::spa_range reserved; ///< all memory that belongs to the RMP
    std::string error;      ///< one line; empty when all went well
};

/// Finds memory for an RMP that covers all RAM, reserves it in the guest's memory map, clears it
/// and writes the segment table.
rmp_setup prepare_rmp(const hw::memory_view &memory, const rmp_request &request);

/// True when `address` holds the boot_params of a Linux kernel (boot protocol >= 2.10).
bool is_boot_params(const hw::memory_view &memory, hw::spa_t address);

/// True when `address` holds a PVH hvm_start_info with a memory map.
bool is_pvh_start_info(const hw::memory_view &memory, hw::spa_t address);

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
