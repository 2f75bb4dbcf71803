// SPDX-License-Identifier: GPL-2.0-or-later
// Instructions whose store QEMU makes in several parts, one after the other: 32-byte vector moves,
// SGDT and SIDT, ENTER with nesting, PUSHA. When they reach over two pages, a fault in a later part
// would come after memory has changed. And PUSHF and SETcc, before whose store QEMU 11.1 changes
// how it keeps the flags, so that a fault of the store, of whatever kind, shows wrong ones. Masked
// vector stores are not among them: which of their bytes are written only the mask tells. Knows
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
