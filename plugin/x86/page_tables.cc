// SPDX-License-Identifier: GPL-2.0-or-later
#include "x86/page_tables.h"

#include "hw-model/base/x86_bits.h"

#include <algorithm>
#include <atomic>
#include <unordered_set>

namespace rmpopt
{

namespace
{

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
                .root_mask = pte_address,
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

/// Other CPUs write to entries at any time, so each is read at once.
std::optional<std::uint64_t> load(const hw::memory_view &memory, hw::spa_t spa, unsigned bytes)
{
    std::byte *at = memory.at(spa, bytes);
    if (at == nullptr) {
        return std::nullopt;
    }
    return bytes == 4 ? std::atomic_ref(*reinterpret_cast<std::uint32_t *>(at)).load()
                      : std::atomic_ref(*reinterpret_cast<std::uint64_t *>(at)).load();
}

/// The address in a last-level entry.
std::uint64_t page_base(std::uint64_t entry, const table_form &form, std::uint64_t page)
{
    std::uint64_t base = hw::align_down(entry & pte_address, page);
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
        path.writable = path.writable && (*entry & pte_write) != 0;
        path.user = path.user && (*entry & pte_user) != 0;
        const bool large = level != 0 && level <= form.large_levels && (*entry & pte_large) != 0;
        if (level == 0 || large) {
            const std::uint64_t page = 1ull << shift;
            path.page_bytes = page;
            path.global = (*entry & pte_global) != 0;
            path.gpa = page_base(*entry, form, page) + (va & (page - 1));
            return path;
        }
        table = *entry & pte_address;
    }
    return std::nullopt;
}

bool is_canonical(std::uint64_t va, unsigned levels)
{
    const unsigned unused = 64 - (12 + 9 * levels);
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(va << unused) >> unused) == va;
}

bool is_forbidden(const guest_path &p, const paging_state &state, access_kind access)
{
    const bool smap = (state.cr4 & cr4_smap) != 0 && (state.rflags & rflags_ac) == 0;
    const bool read_only = !p.writable && (state.cr0 & cr0_wp) != 0;
    return (p.user && smap) || (access == access_kind::write && read_only);
}

/// An allowed access to the end of `path`, or the exception.
walk_result check_access(const paging_state &state, const std::optional<guest_path> &path,
                         access_kind access)
{
    const std::uint32_t write_bit = access == access_kind::write ? pf_write : 0;
    if (!path.has_value()) {
        return {.kind = walk_result::outcome::page_fault, .error_code = write_bit};
    }
    if (is_forbidden(*path, state, access)) {
        return {.kind = walk_result::outcome::page_fault, .error_code = write_bit | pf_present};
    }
    return {.spa = path->spa, .page_bytes = path->page_bytes};
}

/// Looks at the long-mode tables of `state`; sets `path`.
walk_result look(const hw::memory_view &memory, const paging_state &state, std::uint64_t va,
                 access_kind access, std::optional<guest_path> &path)
{
    const table_form form = form_of(state, true);
    if (!is_canonical(va, form.levels)) {
        return {.kind = walk_result::outcome::general_protection};
    }
    path = walk_tables(memory, form, state.cr3, va,
                       [](std::uint64_t spa) { return std::optional(spa); });
    if (path.has_value()) {
        path->spa = path->gpa;
    }
    return check_access(state, path, access);
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

namespace
{

/// Follows all entries of a set of tables.
class kernel_scan
{
  public:
    kernel_scan(const hw::memory_view &memory, std::uint64_t part_bytes, std::size_t parts,
                std::uint64_t most_entries)
        : mapped(parts), memory_(memory), part_bytes_(part_bytes), left_(most_entries)
    {
    }

    /// A table and those below it, from an entry on. False: there are too many.
    bool follow(hw::spa_t table, unsigned level, unsigned first)
    {
        if (level >= seen_.size() || !seen_[level].insert(table).second) {
            return true; // some kernels map one table in many places
        }
        std::byte *const at = memory_.at(table, hw::page_4k);
        constexpr unsigned entries = 512;
        if (at == nullptr) {
            return true;
        }
        if (left_ < entries) {
            return false;
        }
        left_ -= entries;
        auto *const words = reinterpret_cast<std::uint64_t *>(at);
        for (unsigned i = first; i < entries; ++i) {
            const std::uint64_t entry = std::atomic_ref(words[i]).load(std::memory_order_relaxed);
            const bool large = (level == 1 || level == 2) && (entry & pte_large) != 0;
            if ((entry & pte_present) == 0) {
                continue;
            }
            if (level == 0 || large) {
                const std::uint64_t page = hw::page_4k << (9 * level);
                mark(hw::align_down(entry & pte_address, page), page);
            } else if (!follow(entry & pte_address, level - 1, 0)) {
                return false;
            }
        }
        return true;
    }

    std::vector<bool> mapped;

  private:
    void mark(hw::spa_t base, std::uint64_t bytes)
    {
        for (const hw::ram_range &ram : memory_.ranges()) {
            const hw::spa_t first = std::max(base, ram.base);
            const hw::spa_t end = std::min(base + bytes, ram.base + ram.bytes);
            for (std::uint64_t part = first / part_bytes_; part * part_bytes_ < end; ++part) {
                if (part < mapped.size() && first < end) {
                    mapped[part] = true;
                }
            }
        }
    }

    const hw::memory_view &memory_;
    const std::uint64_t part_bytes_;
    std::array<std::unordered_set<hw::spa_t>, 5> seen_; ///< tables of each level
    std::uint64_t left_;                                ///< entries that may still be looked at
};

} // namespace

std::optional<std::vector<bool>> mapped_by_kernel(const hw::memory_view &memory,
                                                  const paging_state &state,
                                                  std::uint64_t part_bytes, std::size_t parts,
                                                  std::uint64_t most_entries)
{
    kernel_scan scan(memory, part_bytes, parts, most_entries);
    const unsigned top = form_of(state, true).levels - 1;
    return scan.follow(state.cr3 & pte_address, top, 256) ? std::optional(std::move(scan.mapped))
                                                          : std::nullopt;
}

walk_result translate(const hw::memory_view &memory, const paging_state &state, std::uint64_t va,
                      access_kind access)
{
    std::optional<guest_path> path;
    return look(memory, state, va, access, path);
}

walk_result walk(const hw::memory_view &memory, const paging_state &state, std::uint64_t va,
                 access_kind access, bool (*may_mark)(const void *data, hw::spa_t entry),
                 const void *data)
{
    std::optional<guest_path> path;
    const walk_result r = look(memory, state, va, access, path);
    if (r.kind != walk_result::outcome::ok) {
        return r;
    }
    for (unsigned i = 0; i < path->count; ++i) {
        const hw::spa_t spa = path->entries[i].spa;
        const bool leaf = i + 1 == path->count;
        const std::uint64_t bits =
            pte_accessed | (leaf && access == access_kind::write ? pte_dirty : 0);
        const std::atomic_ref entry(*reinterpret_cast<std::uint64_t *>(memory.at(spa, 8)));
        if ((entry.load() & bits) == bits) {
            continue;
        }
        if (!may_mark(data, spa)) {
            return {.kind = walk_result::outcome::refused_mark, .table_entry = spa};
        }
        entry.fetch_or(bits);
    }
    return r;
}

} // namespace rmpopt
