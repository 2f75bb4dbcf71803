// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/rmp/rmp_table.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <iterator>

namespace rmpopt::hw
{

namespace
{

// RST entry: [19:0] covered size in GB, [51:20] address of the segment's first entry.
constexpr std::uint64_t rst_size_mask = (1ull << 20) - 1;
constexpr std::uint64_t rst_base_mask = ((1ull << 52) - 1) & ~rst_size_mask;

/// An entry of the segment table; nothing when it defines no segment.
std::optional<std::uint64_t> rst_entry(const memory_view &memory, spa_t base, unsigned index)
{
    const auto raw =
        memory.load<std::uint64_t>(base + rmp_bookkeeping_bytes + index * sizeof(std::uint64_t));
    return raw.has_value() && (*raw & rst_size_mask) != 0 ? raw : std::nullopt;
}

constexpr std::uint64_t entries_for(std::uint64_t bytes)
{
    return bytes / page_4k * rmp_entry_bytes;
}

} // namespace

rmp_table::rmp_table(const memory_view &memory) : memory_(&memory)
{
    publish({});
}

bool rmp_table::configure(const rmp_config &config, const rst_rules &rules)
{
    placement p{.config = config};
    switch (config.layout) {
    case rmp_layout::none:
        break;
    case rmp_layout::contiguous:
        place_contiguous(p);
        break;
    case rmp_layout::segmented:
        place_segmented(p, rules);
        break;
    }
    publish(std::move(p));
    return !extents().empty();
}

void rmp_table::publish(placement p)
{
    const auto known =
        std::ranges::find_if(placements_, [&p](const auto &old) { return *old == p; });
    if (known == placements_.end()) {
        placements_.push_back(std::make_unique<const placement>(std::move(p)));
        current_.store(placements_.back().get(), std::memory_order_release);
    } else {
        current_.store(known->get(), std::memory_order_release);
    }
}

// The entry of address p is at RMP_BASE + 16 KB + p / 4 KB * 16; p is covered when that is not
// above RMP_END (APM vol. 2, 15.36.4).
void rmp_table::place_contiguous(placement &p) const
{
    const spa_t table = p.config.base + rmp_bookkeeping_bytes;
    if (p.config.end >= table) {
        const std::uint64_t entries = (p.config.end + 1 - table) / rmp_entry_bytes;
        add_extent(p, {.covered_bytes = entries * page_4k, .table = table});
    }
}

// RST entry i describes the memory from i << segment_shift on (APM vol. 2, 15.36.22).
void rmp_table::place_segmented(placement &p, const rst_rules &rules) const
{
    const std::uint64_t segment = 1ull << p.config.segment_shift;
    for (unsigned i = 0; i < rules.entries; ++i) {
        const auto raw = rst_entry(*memory_, p.config.base, i);
        if (!raw.has_value()) {
            continue;
        }
        if (*raw >> rules.phys_bits != 0) {
            p.reserved.push_back({i * segment, segment});
            continue;
        }
        const std::uint64_t covered = std::min((*raw & rst_size_mask) * region_1g, segment);
        add_extent(
            p, {.covered = i * segment, .covered_bytes = covered, .table = *raw & rst_base_mask});
    }
}

bool rmp_table::segments_fit(const memory_view &memory, const rmp_config &config,
                             const rst_rules &rules)
{
    const std::uint64_t segment = 1ull << config.segment_shift;
    for (unsigned i = 0; i < rules.entries; ++i) {
        const auto raw = rst_entry(memory, config.base, i);
        if (!raw.has_value()) {
            continue;
        }
        const std::uint64_t covered = std::min((*raw & rst_size_mask) * region_1g, segment);
        const spa_t end = (*raw & rst_base_mask) + entries_for(covered);
        if (*raw >> rules.phys_bits != 0 || end > 1ull << rules.phys_bits) {
            return false;
        }
    }
    return true;
}

bool rmp_table::has_reserved_bits(spa_t spa) const noexcept
{
    return std::ranges::any_of(now().reserved, [spa](const spa_range &r) {
        return spa >= r.base && spa - r.base < r.bytes;
    });
}

void rmp_table::add_extent(placement &p, rmp_extent extent) const
{
    for (const ram_range &r : memory_->ranges()) {
        if (!r.contains(extent.table, rmp_entry_bytes)) {
            continue;
        }
        const std::uint64_t room = r.base + r.bytes - extent.table;
        extent.covered_bytes = std::min(extent.covered_bytes, room / rmp_entry_bytes * page_4k);
        extent.host = reinterpret_cast<std::uint64_t *>(r.host + (extent.table - r.base));
        p.extents.push_back(extent);
        return;
    }
}

std::uint64_t rmp_table::covered_bytes() const
{
    std::uint64_t sum = 0;
    for (const rmp_extent &e : extents()) {
        sum += e.covered_bytes;
    }
    return sum;
}

std::optional<spa_t> rmp_table::entry_address(spa_t spa) const
{
    for (const rmp_extent &e : extents()) {
        if (spa >= e.covered && spa - e.covered < e.covered_bytes) {
            return e.table + entries_for(spa - e.covered);
        }
    }
    return std::nullopt;
}

std::uint64_t *rmp_table::slot(spa_t spa) const
{
    for (const rmp_extent &e : extents()) {
        if (spa >= e.covered && spa - e.covered < e.covered_bytes) {
            return e.host + (spa - e.covered) / page_4k * 2;
        }
    }
    return nullptr;
}

rmp_entry rmp_table::load(spa_t spa) const
{
    std::uint64_t *s = slot(spa);
    if (s == nullptr) {
        return {};
    }
    rmp_entry_raw raw;
    raw.lo = std::atomic_ref(s[0]).load(std::memory_order_acquire);
    raw.hi = std::atomic_ref(s[1]).load(std::memory_order_relaxed);
    return rmp_entry::decode(raw);
}

rmp_entry rmp_table::governing(spa_t spa) const
{
    const rmp_entry base = load(align_down(spa, page_2m));
    return base.assigned && base.size_2m ? base : load(spa);
}

void rmp_table::store(spa_t spa, const rmp_entry &entry) const
{
    std::uint64_t *s = slot(spa);
    assert(s != nullptr);
    const rmp_entry_raw raw = entry.encode();
    std::atomic_ref(s[1]).store(raw.hi, std::memory_order_relaxed);
    std::atomic_ref(s[0]).store(raw.lo, std::memory_order_release);
}

namespace
{

spa_range memory_before_entries(const rmp_config &config)
{
    const bool segmented = config.layout == rmp_layout::segmented;
    return {config.base, rmp_bookkeeping_bytes + (segmented ? rst_bytes : 0)};
}

spa_range memory_of(const rmp_extent &e)
{
    const spa_t first = align_down(e.table, page_4k);
    return {first, align_up(e.table + entries_for(e.covered_bytes), page_4k) - first};
}

} // namespace

std::vector<spa_range> rmp_table::table_memory() const
{
    const placement &p = now();
    if (p.config.layout == rmp_layout::none) {
        return {};
    }
    std::vector<spa_range> out{memory_before_entries(p.config)};
    std::ranges::transform(p.extents, std::back_inserter(out), memory_of);
    return out;
}

bool rmp_table::is_table_memory(spa_t page) const
{
    const placement &p = now();
    const spa_range of_page{align_down(page, page_4k), page_4k};
    return p.config.layout != rmp_layout::none &&
           (memory_before_entries(p.config).overlaps(of_page) ||
            std::ranges::any_of(
                p.extents, [&](const rmp_extent &e) { return memory_of(e).overlaps(of_page); }));
}

} // namespace rmpopt::hw
