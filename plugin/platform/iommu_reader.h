// SPDX-License-Identifier: GPL-2.0-or-later
// Reads from the registers of QEMU's IOMMU where its buffers are.
#pragma once

#include "hw-model/base/types.h"

#include <optional>
#include <vector>

namespace rmpopt
{

/// The buffers of the IOMMU whose registers are at `base`; nothing when `base` is 0. The caller
/// holds QEMU's big lock.
std::optional<std::vector<hw::spa_range>> read_iommu_buffers(hw::spa_t base);

} // namespace rmpopt
