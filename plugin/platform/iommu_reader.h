// SPDX-License-Identifier: GPL-2.0-or-later
// Reads the registers of QEMU's IOMMU.
#pragma once

#include "hw-model/machine/machine.h"

#include <optional>

namespace rmpopt
{

/// The state of the IOMMU whose registers are at `base`; nothing when `base` is 0. The caller holds
/// QEMU's big lock.
std::optional<hw::iommu_state> read_iommu(hw::spa_t base);

} // namespace rmpopt
