// SPDX-License-Identifier: GPL-2.0-or-later
#include "enforce/blocked_dma.h"

#include "base/format.h"
#include "base/log.h"
#include "enforce/state.h"
#include "x86/host_store.h"

#include <array>
#include <cstring>
#include <string>
#include <utility>

namespace rmpopt
{

namespace
{

/// The page of this thread's last event. A transfer takes many host instructions but is one event.
thread_local hw::spa_t last_page = ~0ull;

void report_event(hw::spa_t spa)
{
    const hw::spa_t page = hw::align_down(spa, hw::page_4k);
    if (std::exchange(last_page, page) != page) {
        enforced.heard->dma_blocked(spa);
    }
}

void write_allowed(std::uintptr_t address, std::span<const std::byte> bytes)
{
    auto *to = reinterpret_cast<std::byte *>(address);
    const auto spa = enforced.ram->spa_of(to);
    if (spa.has_value() && !enforced.machine->is_host_writable(*spa)) {
        if (enforced.machine->is_iommu_buffer(*spa)) {
            enforced.ram->hardware_view().write(*spa, bytes.data(), bytes.size());
        } else {
            report_event(*spa);
        }
        return;
    }
    std::memcpy(to, bytes.data(), bytes.size());
}

} // namespace

void block_device_write(ucontext_t &interrupted)
{
    if (!step_over_store(interrupted, write_allowed)) {
        std::array<std::uint8_t, 16> code{};
        std::memcpy(code.data(), reinterpret_cast<void *>(interrupted.uc_mcontext.gregs[REG_RIP]),
                    code.size());
        std::string bytes;
        for (const std::uint8_t b : code) {
            bytes += formatted(" {:02x}", b);
        }
        refuse("a device writes to memory that the RMP protects with a host instruction that "
               "the plugin cannot step over (bytes" +
               bytes + "); not emulated");
    }
}

} // namespace rmpopt
