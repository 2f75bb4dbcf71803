// SPDX-License-Identifier: GPL-2.0-or-later
// Where the emulated IOMMU writes now, by its own registers.
#pragma once

#include "hw-model/base/types.h"

#include <functional>
#include <optional>
#include <vector>

namespace rmpopt
{

/// The buffers of the IOMMU whose registers are at `base`. Only a vCPU can read them: the calling
/// thread, which is none, waits for one. `given_up` is asked now and then, and ends the waiting.
/// Nothing when it did, or when `base` is 0.
std::optional<std::vector<hw::spa_range>> read_iommu_buffers(hw::spa_t base,
                                                             const std::function<bool()> &given_up);

} // namespace rmpopt
