// SPDX-License-Identifier: GPL-2.0-or-later
#include "report/schedule_record.h"

namespace rmpopt
{

void schedule_record::add(std::uint64_t when, happening what, unsigned cpu,
                          const std::array<std::uint64_t, 3> &operands)
{
    constexpr std::uint64_t prime = 0x100000001b3;
    std::uint64_t hash = hash_.load(std::memory_order_relaxed);
    const auto mix = [&](std::uint64_t word) {
        hash = (hash ^ word) * prime;
        hash ^=
            hash >> 32; // FNV goes by bytes; by words, the upper half would never reach the lower
    };
    mix(when);
    mix(static_cast<std::uint64_t>(what) << 32 | cpu);
    for (const std::uint64_t word : operands) {
        mix(word);
    }
    hash_.store(hash, std::memory_order_relaxed);
    events_.store(events_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

} // namespace rmpopt
