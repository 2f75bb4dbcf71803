// SPDX-License-Identifier: GPL-2.0-or-later
#include "x86/guest_walk.h"

#include <algorithm>

namespace rmpopt
{

namespace
{

constexpr std::uint64_t pte_present = 1u << 0, pte_large = 1u << 7, pte_global = 1u << 8;
constexpr std::uint64_t cr0_pg = 1u << 31, cr4_pse = 1u << 4, cr4_pae = 1u << 5,
                        cr4_la57 = 1u << 12;
constexpr std::uint64_t address_mask = ((1ull << 51) - 1) & ~(hw::page_4k - 1);

/// The shape of a set of tables.
struct table_form {
    unsigned levels;
    unsigned index_bits;
    unsigned entry_bytes;
    std::uint64_t root_mask;
    unsigned top_index_bits; ///< of the root table
    unsigned large_levels;   ///< how many levels above the lowest may hold large pages
};

table_form form_of(const paging_state &p, bool long_mode)
{
    if (long_mode) {
        return {.levels = (p.cr4 & cr4_la57) != 0 ? 5u : 4u,
                .index_bits = 9,
                .entry_bytes = 8,
                .root_mask = address_mask,
                .top_index_bits = 9,
                .large_levels = 2};
    }
    if ((p.cr4 & cr4_pae) != 0) {
        return {.levels = 3,
                .index_bits = 9,
                .entry_bytes = 8,
                .root_mask = 0xffffffe0,
                .top_index_bits = 2,
                .large_levels = 1};
    }
    return {.levels = 2,
            .index_bits = 10,
            .entry_bytes = 4,
            .root_mask = 0xfffff000,
            .top_index_bits = 10,
            .large_levels = (p.cr4 & cr4_pse) != 0 ? 1u : 0u};
}

std::optional<std::uint64_t> load(const hw::memory_view &memory, hw::spa_t spa, unsigned bytes)
{
    std::uint64_t value = 0;
    return memory.read(spa, &value, bytes) ? std::optional(value) : std::nullopt;
}

/// Where the page of a last-level entry stands.
std::uint64_t page_base(std::uint64_t entry, const table_form &form, std::uint64_t page)
{
    std::uint64_t base = hw::align_down(entry & address_mask, page);
    if (form.entry_bytes == 4 && page != hw::page_4k) {
        base |= (entry >> 13 & 0xff) << 32; // APM vol. 2, 5.2.2: bits 20:13 hold bits 39:32
    }
    return base;
}

/// Walks tables whose addresses `to_spa` turns into system addresses.
template <class F>
std::optional<guest_path> walk_tables(const hw::memory_view &memory, const table_form &form,
                                      std::uint64_t root, std::uint64_t va, F to_spa)
{
    guest_path path;
    std::uint64_t table = root & form.root_mask;
    for (unsigned level = form.levels; level-- > 0;) {
        const unsigned shift = 12 + form.index_bits * level;
        const unsigned bits = level + 1 == form.levels ? form.top_index_bits : form.index_bits;
        const std::uint64_t gpa = table + form.entry_bytes * ((va >> shift) & ((1ull << bits) - 1));
        const std::optional<hw::spa_t> spa = to_spa(gpa);
        const auto entry = spa.has_value() ? load(memory, *spa, form.entry_bytes) : std::nullopt;
        if (!entry.has_value() || (*entry & pte_present) == 0) {
            return std::nullopt;
        }
        path.entries[path.count++] = {gpa, *spa};
        const bool large = level != 0 && level <= form.large_levels && (*entry & pte_large) != 0;
        if (level == 0 || large) {
            const std::uint64_t page = 1ull << shift;
            path.page_bytes = page;
            path.global = (*entry & pte_global) != 0;
            path.gpa = page_base(*entry, form, page) + (va & (page - 1));
            return path;
        }
        table = *entry & address_mask;
    }
    return std::nullopt;
}

} // namespace

std::optional<guest_path> find_guest_path(const hw::memory_view &memory, const guest_paging &paging,
                                          std::uint64_t va)
{
    const auto nested_path = [&](std::uint64_t gpa) {
        return walk_tables(memory, form_of(paging.host, true), paging.host.cr3, gpa,
                           [](std::uint64_t spa) { return std::optional(spa); });
    };
    const auto to_spa = [&](std::uint64_t gpa) -> std::optional<hw::spa_t> {
        if (!paging.nested) {
            return gpa;
        }
        const auto path = nested_path(gpa);
        return path.has_value() ? std::optional(path->gpa) : std::nullopt;
    };
    if ((paging.guest.cr0 & cr0_pg) == 0) {
        guest_path flat;
        flat.gpa = va;
        flat.spa = to_spa(va).value_or(0);
        return flat;
    }
    auto path =
        walk_tables(memory, form_of(paging.guest, paging.long_mode), paging.guest.cr3, va, to_spa);
    if (path.has_value() && paging.nested) {
        const auto nested = nested_path(path->gpa);
        path->page_bytes = std::min(path->page_bytes, nested.value_or(*path).page_bytes);
        path->spa = nested.has_value() ? nested->gpa : 0;
    } else if (path.has_value()) {
        path->spa = path->gpa;
    }
    return path;
}

} // namespace rmpopt
