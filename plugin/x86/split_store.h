// SPDX-License-Identifier: GPL-2.0-or-later
// Instructions whose store QEMU makes in several parts, one after the other: 32-byte vector moves,
// SGDT and SIDT, ENTER with nesting, PUSHA. When one reaches into a second page, a fault there
// would come after memory has changed. PUSHF and SETcc are here as well: QEMU 11.1 changes how it
// keeps the flags before it makes their store, so any fault of the store would show wrong flags.
// Masked vector stores are left out, because only the mask tells which bytes they write. Knows
// nothing of QEMU.
#pragma once

#include "x86/address_form.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>

namespace rmpopt
{

struct split_store {
    struct part {
        std::int16_t offset; ///< from the address
        std::uint8_t bytes;
    };

    address_form address;
    std::array<part, 33> parts{}; ///< in the order in which they are written
    std::uint8_t count = 0;
    std::int16_t low = 0, high = 0; ///< bounds of all parts: [low, high)
    bool spoils_flags = false;      ///< must be tried wherever it stores
};

/// Nothing when QEMU writes the instruction's memory at once, or it writes none.
std::optional<split_store> find_split_store(std::span<const std::uint8_t> code, bool code_64);

} // namespace rmpopt
