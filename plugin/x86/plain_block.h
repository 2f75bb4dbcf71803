// SPDX-License-Identifier: GPL-2.0-or-later
// Finds the blocks that QEMU may translate as it would without a plugin. Translating all blocks for
// the plugin costs some 5 % of a boot, and few have an instruction that concerns it. While stores
// are measured, about half of them have.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace rmpopt
{

/// Accesses to memory that concern us.
enum class watched_accesses : std::uint8_t { none, stores, all };

/// What QEMU is about to translate.
struct block_start {
    std::span<const std::uint8_t> code; ///< from the first instruction to the end of its page
    bool code_64;
    bool tries_stores; ///< stores that QEMU makes in several parts concern us
    watched_accesses watched = watched_accesses::none;
};

/// True when the block has no instruction that find_emulation() knows, or watch_split_store() with
/// tries_stores, or watch_tlb_insn() when all accesses are watched, and no watched access; wherever
/// QEMU lets it end: it ends at the first branch, if not before. False in case of doubt.
bool is_plain_block(const block_start &block);

/// True when the block may be executed next after a repeated string instruction or a guest, both of
/// which begin another block when they are over. `page` holds the block's first instruction at
/// `offset`.
bool may_follow_string_or_guest(std::span<const std::uint8_t> page, std::size_t offset);

} // namespace rmpopt
