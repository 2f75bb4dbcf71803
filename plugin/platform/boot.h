// SPDX-License-Identifier: GPL-2.0-or-later
// The end of the BIOS's work: what it does for SNP before an operating system takes over.
#pragma once

#include "hw-model/machine/machine.h"

#include <functional>

namespace rmpopt
{

struct boot_hand_over {
    hw::machine *machine = nullptr;
    hw::rmp_layout layout = hw::rmp_layout::segmented;
    /// Registers of the boot CPU: RSI holds the address of Linux's boot_params or RBX that of the
    /// PVH hvm_start_info; anything else when the guest was started in another way.
    std::uint32_t rsi = 0, rbx = 0;
    /// Zeroes a range of system memory without touching what is zero already.
    std::function<void(hw::spa_range)> zero;
};

/// Announces SNP in the IVRS, finds memory for the RMP and sets it up. Ends QEMU with one line when
/// that is impossible. Returns where the IOMMU's registers are; 0 without one. On the boot CPU's
/// thread while no other CPU runs.
hw::spa_t hand_over(const boot_hand_over &h);

} // namespace rmpopt
