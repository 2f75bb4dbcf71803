// SPDX-License-Identifier: GPL-2.0-or-later
#include "platform/iommu_reader.h"

#include "platform/iommu.h"
#include "qemu/machine.h"

namespace rmpopt
{

std::optional<hw::iommu_state> read_iommu(hw::spa_t base)
{
    if (base == 0) {
        return std::nullopt;
    }
    iommu_registers r;
    read_system_memory(base + 0x10, &r.event_base, 8);
    read_system_memory(base + 0x38, &r.ppr_base, 8);
    read_system_memory(base + 0x20, &r.excl_base, 8);
    read_system_memory(base + 0x28, &r.excl_limit, 8);
    read_system_memory(base + 0x18, &r.control, 8);
    return state_of_iommu(r);
}

} // namespace rmpopt
