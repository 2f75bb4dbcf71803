// SPDX-License-Identifier: GPL-2.0-or-later
// The RMP after SNP_INIT. A table has an entry for each 4 KB page of the machine, so what concerns
// all of them is done on the table's memory and not entry by entry. Entries that already hold the
// wanted value are not written: much of a big machine's table is memory that nobody has touched.
#include "hw-model/firmware/snp/snp.h"

#include <algorithm>
#include <atomic>

namespace rmpopt::hw
{

namespace
{

/// System management memory of old, and the range that HyperTransport kept for itself.
constexpr spa_range aseg{0xa0000, 0x20000};
constexpr spa_range ht_hole{0xfd'0000'0000, 0x1'0000'0000};

/// Pages that were not host-writable before come back as changes; beyond this many runs in one
/// extent they come back as one range, however scattered they were.
constexpr std::size_t max_runs_per_extent = 4096;

std::uint64_t *words_at(const machine &m, spa_t spa, std::uint64_t bytes)
{
    return reinterpret_cast<std::uint64_t *>(m.memory().at(spa, bytes));
}

bool store_if_different(std::uint64_t &word, std::uint64_t value)
{
    const std::atomic_ref ref(word);
    if (ref.load(std::memory_order_relaxed) == value) {
        return false;
    }
    ref.store(value, std::memory_order_relaxed);
    return true;
}

/// What an entry says about host-writability before it goes.
std::uint64_t guarded_bytes(const rmp_entry_raw &raw, spa_t page)
{
    const rmp_entry e = rmp_entry::decode(raw);
    if (e.host_writable()) {
        return 0;
    }
    return e.size_2m && is_aligned(page, page_2m) ? page_2m : page_4k;
}

/// Collects runs of pages that become writable.
class released_pages
{
  public:
    void add(spa_t page, std::uint64_t bytes)
    {
        if (!runs_.empty() && page <= runs_.back().end()) {
            runs_.back().bytes = std::max(runs_.back().end(), page + bytes) - runs_.back().base;
        } else if (runs_.size() < max_runs_per_extent) {
            runs_.push_back({page, bytes});
        } else {
            const spa_t first = runs_.front().base;
            runs_ = {{first, page + bytes - first}};
        }
    }
    void report(rmp_changes &changes) const
    {
        for (const spa_range &r : runs_) {
            changes.add(r.base, r.bytes, true);
        }
    }

  private:
    std::vector<spa_range> runs_;
};

void zero_extent(const machine &m, const rmp_extent &e, rmp_changes &changes)
{
    const std::uint64_t pages = e.covered_bytes / page_4k;
    std::uint64_t *w = words_at(m, e.table, pages * rmp_entry_bytes);
    released_pages released;
    for (std::uint64_t i = 0; i < pages; ++i, w += 2) {
        const rmp_entry_raw old{.lo = std::atomic_ref(w[0]).load(std::memory_order_relaxed),
                                .hi = std::atomic_ref(w[1]).load(std::memory_order_relaxed)};
        if ((old.lo | old.hi) == 0) {
            continue;
        }
        const spa_t page = e.covered + i * page_4k;
        const std::uint64_t bytes = guarded_bytes(old, page);
        if (bytes != 0) {
            released.add(page, bytes);
        }
        store_if_different(w[0], 0);
        store_if_different(w[1], 0);
    }
    released.report(changes);
}

/// The bookkeeping area counts assigned pages by ASID; without guest pages all counts are zero.
void zero_bookkeeping(const machine &m)
{
    std::uint64_t *w = words_at(m, m.rmp().config().base, rmp_bookkeeping_bytes);
    for (std::uint64_t i = 0; i < rmp_bookkeeping_bytes / sizeof *w; ++i) {
        store_if_different(w[i], 0);
    }
}

/// Covered memory that is no RAM.
void append_holes(const machine &m, std::vector<spa_range> &out)
{
    for (const rmp_extent &e : m.rmp().extents()) {
        const spa_t end = e.covered + e.covered_bytes;
        spa_t from = e.covered;
        const auto hole_up_to = [&](spa_t to) {
            if (from < to) {
                out.push_back({from, to - from});
            }
        };
        for (const ram_range &r : m.memory().ranges()) {
            hole_up_to(std::min(r.base, end));
            from = std::max(from, r.base + r.bytes);
        }
        hole_up_to(end);
    }
}

/// Sorted and joined, so that a hostile list costs no more than one pass over the table.
void normalise(std::vector<spa_range> &ranges)
{
    std::ranges::sort(ranges, {}, &spa_range::base);
    std::vector<spa_range> out;
    for (const spa_range &r : ranges) {
        if (r.bytes == 0) {
            continue;
        }
        if (!out.empty() && r.base <= out.back().end()) {
            out.back().bytes = std::max(out.back().end(), r.end()) - out.back().base;
        } else {
            out.push_back(r);
        }
    }
    ranges = std::move(out);
}

/// HV-fixed entries count nowhere and change no page's host-writability, so the table is enough.
void fix_ranges(const machine &m, std::vector<spa_range> ranges)
{
    normalise(ranges);
    const rmp_entry fixed = hv_fixed_entry();
    for_each_covered_page(m.rmp(), ranges, [&](spa_t page) { m.rmp().store(page, fixed); });
}

} // namespace

bool rmp_is_usable(const machine &m)
{
    const rmp_table &rmp = m.rmp();
    if (rmp.extents().empty() ||
        m.memory().at(rmp.config().base, rmp_bookkeeping_bytes) == nullptr) {
        return false;
    }
    return std::ranges::all_of(rmp.table_memory(), [&rmp](const spa_range &r) {
        return rmp.covers(r.base) && rmp.covers(r.end() - 1);
    });
}

std::vector<spa_range> rebuild_rmp(machine &m, std::vector<spa_range> fixed, rmp_changes &changes)
{
    m.clear_rmpopt_tables();
    for (const rmp_extent &e : m.rmp().extents()) {
        zero_extent(m, e, changes);
    }
    zero_bookkeeping(m);

    fixed.push_back(aseg);
    fixed.push_back(ht_hole);
    append_holes(m, fixed);
    fix_ranges(m, std::move(fixed));

    std::vector<spa_range> own = m.rmp().table_memory();
    normalise(own);
    for_each_covered_page(m.rmp(), own,
                          [&](spa_t p) { m.replace_entry(p, firmware_entry(), changes); });

    std::vector<spa_range> iommu = m.iommu().buffers;
    normalise(iommu);
    for_each_covered_page(m.rmp(), iommu, [&](spa_t p) {
        if (state_of(m.rmp().load(p)) != page_state::firmware) {
            m.replace_entry(p, firmware_iommu_entry(), changes);
        }
    });
    return iommu;
}

} // namespace rmpopt::hw
