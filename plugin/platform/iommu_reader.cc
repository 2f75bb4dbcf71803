// SPDX-License-Identifier: GPL-2.0-or-later
#include "platform/iommu_reader.h"

#include "platform/iommu.h"
#include "qemu/machine.h"
#include "qemu/tlb_fill.h"

#include <chrono>
#include <future>
#include <memory>

namespace rmpopt
{

namespace
{

/// A request to a vCPU's thread to read the IOMMU's registers for another thread.
struct iommu_reading {
    hw::spa_t base;
    std::promise<iommu_registers> result{};

    /// Runs on a vCPU's thread and takes ownership of `data`.
    static void read(void *data)
    {
        const std::unique_ptr<iommu_reading> self(static_cast<iommu_reading *>(data));
        iommu_registers r;
        read_system_memory(self->base + 0x10, &r.event_base, 8);
        read_system_memory(self->base + 0x38, &r.ppr_base, 8);
        read_system_memory(self->base + 0x20, &r.excl_base, 8);
        read_system_memory(self->base + 0x28, &r.excl_limit, 8);
        self->result.set_value(r);
    }
};

} // namespace

std::optional<std::vector<hw::spa_range>> read_iommu_buffers(hw::spa_t base,
                                                             const std::function<bool()> &given_up)
{
    constexpr std::chrono::milliseconds patience{20};
    if (base == 0) {
        return std::nullopt;
    }
    auto *const reading = new iommu_reading{.base = base};
    std::future<iommu_registers> result = reading->result.get_future();
    tlb_fill::flush_then(iommu_reading::read, reading);
    while (result.wait_for(patience) != std::future_status::ready) {
        if (given_up()) {
            return std::nullopt;
        }
    }
    return iommu_buffers(result.get());
}

} // namespace rmpopt
