// SPDX-License-Identifier: GPL-2.0-or-later
// Reads from the registers of QEMU's IOMMU where its buffers are.
#pragma once

#include "hw-model/base/types.h"

#include <functional>
#include <optional>
#include <vector>

namespace rmpopt
{

/// The buffers of the IOMMU whose registers are at `base`. Only a vCPU's thread can read them, so
/// the caller, which must be another thread, waits for one. It polls `given_up` and stops waiting
/// when that returns true. Returns nothing in that case, or when `base` is 0.
std::optional<std::vector<hw::spa_range>> read_iommu_buffers(hw::spa_t base,
                                                             const std::function<bool()> &given_up);

} // namespace rmpopt
