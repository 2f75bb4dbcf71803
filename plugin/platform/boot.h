// SPDX-License-Identifier: GPL-2.0-or-later
// What a BIOS does for SNP just before it starts the operating system.
#pragma once

#include "hw-model/machine/machine.h"

#include <functional>

namespace rmpopt
{

struct boot_hand_over {
    hw::machine *machine = nullptr;
    hw::rmp_layout layout = hw::rmp_layout::segmented;
    /// Registers of the boot CPU. RSI holds the address of Linux's boot_params, or RBX that of the
    /// PVH hvm_start_info. With any other boot protocol neither does.
    std::uint32_t rsi = 0, rbx = 0;
    /// Zeroes a range of system memory without touching what is zero already.
    std::function<void(hw::spa_range)> zero;
};

/// Announces SNP in the IVRS, finds memory for the RMP and sets it up. If that is impossible, ends
/// QEMU with a message of one line. Returns the address of the IOMMU's registers, or 0 without an
/// IOMMU. To be called on the boot CPU's thread while no other CPU runs.
hw::spa_t hand_over(const boot_hand_over &h);

} // namespace rmpopt
