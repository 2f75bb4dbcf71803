// SPDX-License-Identifier: GPL-2.0-or-later
// What happened, machine-wide. These count rare events only; nothing here is on a store path.
#pragma once

#include <atomic>
#include <cstdint>

namespace rmpopt::hw
{

struct counter_set {
    using counter = std::atomic<std::uint64_t>;

    counter rmpopt{0};            ///< RMPOPT executed to completion
    counter rmpopt_set{0};        ///< ... that left the region optimised
    counter rmpopt_scans{0};      ///< ... function 0 that walked the RMP
    counter rmpopt_cached{0};     ///< ... function 0 answered from another core's scan
    counter rmpopt_scanned_2m{0}; ///< 2 MB entries looked at by scans
    counter rmpupdate{0};
    counter rmpupdate_failed{0};
    counter psmash{0};
    counter psmash_failed{0};
    counter rmpread{0};
    counter msr_gp{0}; ///< RDMSR/WRMSR answered with #GP(0) by the model
    counter rmp_faults{0};
    counter audits{0};      ///< recounts of a region
    counter dma_blocked{0}; ///< pages that a device was kept from writing
};

inline void count(counter_set::counter &c)
{
    c.fetch_add(1, std::memory_order_relaxed);
}

} // namespace rmpopt::hw
