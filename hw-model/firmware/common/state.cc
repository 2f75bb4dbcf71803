// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/firmware/common/state.h"

namespace rmpopt::hw
{

std::vector<spa_range> own_memory_of(const machine &m, const firmware_state &s)
{
    std::vector<spa_range> out = m.rmp().table_memory();
    out.insert(out.end(), s.iommu_pages.begin(), s.iommu_pages.end());
    if (s.tmr.bytes != 0) {
        out.push_back(s.tmr);
    }
    return out;
}

} // namespace rmpopt::hw
