// SPDX-License-Identifier: GPL-2.0-or-later
// Which blocks QEMU may translate as it would without a plugin. To translate for one costs it some
// 5 % of a boot, and few blocks have an instruction that concerns us.
#pragma once

#include <cstdint>
#include <span>

namespace rmpopt
{

/// What QEMU is about to translate.
struct block_start {
    std::span<const std::uint8_t> code; ///< from the first instruction to the end of its page
    bool code_64;
    bool tries_stores; ///< stores that QEMU makes in several parts concern us
};

/// True when the block has no instruction that find_emulation() or watch_split_store() know,
/// wherever QEMU lets it end: it ends at the first branch, if not before. False in case of doubt.
bool is_plain_block(const block_start &block);

} // namespace rmpopt
