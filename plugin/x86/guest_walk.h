// SPDX-License-Identifier: GPL-2.0-or-later
// Where a guest's linear address leads: through the guest's own page tables, each of whose
// addresses goes through the nested ones (APM vol. 2, 15.25). Looks only; sets no bits, checks no
// permission. Knows nothing of QEMU.
#pragma once

#include "x86/page_walk.h"

#include <array>
#include <optional>

namespace rmpopt
{

/// What decides over a guest's translations.
struct guest_paging {
    paging_state guest;     ///< the guest's registers
    bool long_mode = false; ///< EFER.LMA
    bool nested = false;    ///< nested paging is on
    paging_state host;      ///< the host's CR4, nCR3 as CR3: the nested tables, in long-mode format
};

struct guest_path {
    struct table_entry {
        std::uint64_t gpa; ///< of the entry
        hw::spa_t spa;
    };

    std::uint64_t gpa = 0; ///< of the address itself
    hw::spa_t spa = 0; ///< where it leads; without nested paging the same; 0 when it leads nowhere
    /// Of the page that maps it, with nested paging the smaller of both; 0 without paging.
    std::uint64_t page_bytes = 0;
    bool global = false; ///< bit G of its entry
    std::array<table_entry, 5> entries{};
    unsigned count = 0;
};

/// Nothing when a table on the way is not present or no RAM.
std::optional<guest_path> find_guest_path(const hw::memory_view &memory, const guest_paging &paging,
                                          std::uint64_t va);

} // namespace rmpopt
