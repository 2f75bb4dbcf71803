// SPDX-License-Identifier: GPL-2.0-or-later
// The guest's page tables, as the CPU walks them in long mode (APM vol. 2, chapter 5), for the
// memory operands of emulated instructions. Knows nothing of QEMU.
#pragma once

#include "hw-model/base/memory_view.h"

#include <cstdint>

namespace rmpopt
{

/// What decides over a translation.
struct paging_state {
    std::uint64_t cr0 = 0, cr3 = 0, cr4 = 0;
    std::uint64_t rflags = 0; ///< AC and IF are used
};

enum class access_kind : std::uint8_t { read, write };

struct walk_result {
    enum class outcome : std::uint8_t { ok, general_protection, page_fault };

    outcome kind = outcome::ok;
    hw::spa_t spa = 0;            ///< of the address itself
    std::uint64_t page_bytes = 0; ///< 4 KB, 2 MB or 1 GB
    std::uint32_t error_code = 0; ///< of the #PF
};

/// Translates `va` for a supervisor data access and, when that is allowed, sets the accessed and
/// dirty bits. System memory that holds tables must be RAM; elsewhere entries read as not present.
walk_result walk(const hw::memory_view &memory, const paging_state &state, std::uint64_t va,
                 access_kind access);

} // namespace rmpopt
