// SPDX-License-Identifier: GPL-2.0-or-later
// Sets up the RMP as a BIOS does for an SNP host: zeroed memory that is reserved in the operating
// system's memory map, with the RMP segment table (RST) in it.
//
// Pure functions over system memory, independent of QEMU. Not thread-safe: they are called while
// the boot CPU is about to enter long mode and no other CPU runs.
#pragma once

#include "hw-model/base/memory_view.h"
#include "hw-model/rmp/rmp_table.h"

#include <functional>
#include <optional>
#include <string>

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
    /// Zeroes a range of system memory without allocating host memory for it.
    std::function<void(hw::spa_range)> zero;
};

struct rmp_setup {
    hw::rmp_config config;
    hw::spa_range reserved; ///< all memory that belongs to the RMP
    std::string error;      ///< one line; empty on success
};

/// Finds memory for an RMP that covers all RAM, reserves it in the guest's memory map, clears it
/// and writes the segment table.
rmp_setup prepare_rmp(const hw::memory_view &memory, const rmp_request &request);

} // namespace rmpopt
