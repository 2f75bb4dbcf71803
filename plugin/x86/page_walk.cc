// SPDX-License-Identifier: GPL-2.0-or-later
#include "x86/page_walk.h"

#include <array>
#include <atomic>

namespace rmpopt
{

using hw::spa_t;

namespace
{

constexpr std::uint64_t pte_present = 1u << 0, pte_write = 1u << 1, pte_user = 1u << 2,
                        pte_accessed = 1u << 5, pte_dirty = 1u << 6, pte_large = 1u << 7;
constexpr std::uint64_t cr0_wp = 1u << 16, cr4_la57 = 1u << 12, cr4_smap = 1u << 21,
                        rflags_ac = 1u << 18;
constexpr std::uint32_t pf_present = 1u << 0, pf_write = 1u << 1;
constexpr std::uint64_t address_mask = ((1ull << 51) - 1) & ~(hw::page_4k - 1); // without C-bit

bool is_canonical(std::uint64_t va, unsigned levels)
{
    const unsigned unused = 64 - (12 + 9 * levels);
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(va << unused) >> unused) == va;
}

/// Entries on the way to a page, and what they allow together.
struct path {
    std::array<std::uint64_t *, 5> entry{};
    unsigned count = 0;
    bool write = true;
    bool user = true;
};

walk_result page_fault(std::uint32_t code)
{
    return {.kind = walk_result::outcome::page_fault, .error_code = code};
}

bool is_forbidden(const path &p, const paging_state &state, access_kind access)
{
    const bool smap = (state.cr4 & cr4_smap) != 0 && (state.rflags & rflags_ac) == 0;
    const bool read_only = !p.write && (state.cr0 & cr0_wp) != 0;
    return (p.user && smap) || (access == access_kind::write && read_only);
}

void mark_used(const path &p, access_kind access)
{
    for (unsigned i = 0; i < p.count; ++i) {
        const bool leaf = i + 1 == p.count;
        const std::uint64_t bits =
            pte_accessed | (leaf && access == access_kind::write ? pte_dirty : 0);
        std::atomic_ref(*p.entry[i]).fetch_or(bits);
    }
}

} // namespace

walk_result walk(const hw::memory_view &memory, const paging_state &state, std::uint64_t va,
                 access_kind access)
{
    const unsigned levels = (state.cr4 & cr4_la57) != 0 ? 5 : 4;
    if (!is_canonical(va, levels)) {
        return {.kind = walk_result::outcome::general_protection};
    }
    const std::uint32_t write_bit = access == access_kind::write ? pf_write : 0;
    path p;
    spa_t table = state.cr3 & address_mask;
    for (unsigned level = levels; level-- > 0;) {
        const unsigned shift = 12 + 9 * level;
        std::byte *at = memory.at(table + 8 * ((va >> shift) & 0x1ff), 8);
        if (at == nullptr) {
            return page_fault(write_bit);
        }
        auto *entry = reinterpret_cast<std::uint64_t *>(at);
        const std::uint64_t value = std::atomic_ref(*entry).load();
        if ((value & pte_present) == 0) {
            return page_fault(write_bit);
        }
        p.entry[p.count++] = entry;
        p.write = p.write && (value & pte_write) != 0;
        p.user = p.user && (value & pte_user) != 0;
        const bool large = level != 0 && level <= 2 && (value & pte_large) != 0;
        if (level != 0 && !large) {
            table = value & address_mask;
            continue;
        }
        if (is_forbidden(p, state, access)) {
            return page_fault(write_bit | pf_present);
        }
        mark_used(p, access);
        const std::uint64_t bytes = 1ull << shift;
        return {.spa = hw::align_down(value & address_mask, bytes) + (va & (bytes - 1)),
                .page_bytes = bytes};
    }
    return page_fault(write_bit);
}

} // namespace rmpopt
