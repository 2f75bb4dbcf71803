// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/machine/audit.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

namespace rmpopt::hw
{

namespace
{

/// Bits of a VMPL's permission byte that have no meaning (APM vol. 2, 15.36.7).
constexpr std::uint8_t vmpl_reserved = 0xe0;

std::string hex(std::uint64_t v)
{
    constexpr std::string_view digits = "0123456789abcdef";
    std::string s;
    do {
        s.insert(s.begin(), digits[v & 0xf]);
        v >>= 4;
    } while (v != 0);
    return "0x" + s;
}

rmp_entry_raw load_raw(std::uint64_t *w)
{
    return {.lo = std::atomic_ref(w[0]).load(std::memory_order_relaxed),
            .hi = std::atomic_ref(w[1]).load(std::memory_order_relaxed)};
}

bool has_reserved_bits(const rmp_entry_raw &raw, const rmp_entry &e)
{
    return e.encode() != raw ||
           std::ranges::any_of(e.vmpl, [](std::uint8_t p) { return (p & vmpl_reserved) != 0; });
}

/// The entry as it may be when only the assigned bit, immutable and the count are kept.
bool is_bare(const rmp_entry &e)
{
    rmp_entry bare;
    bare.assigned = e.assigned;
    bare.immutable = e.immutable;
    bare.subpage_count = e.subpage_count;
    return e == bare;
}

class auditor
{
  public:
    explicit auditor(const machine &m) : m_(m) {}

    /// Precondition: `region` is 1 GB aligned.
    void check_region(spa_t region)
    {
        first_assigned_.reset();
        for (spa_t base = region; base != region + region_1g; base += page_2m) {
            check_2m(base);
        }
        if (!first_assigned_.has_value()) {
            return;
        }
        for (unsigned c = 0; c < m_.cpus().cores(); ++c) {
            if (m_.core(c).rmpopt.test(region)) {
                found("rmpopt bit", "core " + std::to_string(c) + " has it set for " + hex(region) +
                                        ", but " + hex(*first_assigned_) + " is assigned");
            }
        }
    }

    void check_asid_counts()
    {
        for (unsigned asid = 1; asid < rmp_entry::asid_limit; ++asid) {
            const auto kept = m_.memory().load<std::uint64_t>(m_.rmp().config().base + 8ull * asid);
            if (kept.has_value() && *kept != asid_pages_[asid]) {
                found("asid count", "of " + std::to_string(asid) + " is " + std::to_string(*kept) +
                                        ", but it has " + std::to_string(asid_pages_[asid]) +
                                        " pages");
            }
        }
    }

    std::vector<std::string> take() { return std::move(findings_); }

  private:
    void found(std::string_view rule, const std::string &what)
    {
        if (findings_.size() < max_findings) {
            findings_.push_back(std::string(rule) + ": " + what);
        }
    }

    /// Entries of the 2 MB region that the table has, as words of memory.
    std::span<std::uint64_t> entries_of(spa_t base) const
    {
        for (const rmp_extent &e : m_.rmp().extents()) {
            if (base < e.covered || base - e.covered >= e.covered_bytes) {
                continue;
            }
            const std::uint64_t first = (base - e.covered) / page_4k;
            const std::uint64_t n =
                std::min<std::uint64_t>(pages_per_2m, e.covered_bytes / page_4k - first);
            std::byte *p = m_.memory().at(e.table + first * rmp_entry_bytes, n * rmp_entry_bytes);
            return {reinterpret_cast<std::uint64_t *>(p), n * 2};
        }
        return {};
    }

    void check_2m(spa_t base)
    {
        const std::span<std::uint64_t> words = entries_of(base);
        if (words.empty()) {
            return;
        }
        const rmp_entry first = rmp_entry::decode(load_raw(words.data()));
        const bool whole = first.assigned && first.size_2m;
        unsigned others = 0;
        for (std::uint64_t i = 0; i < words.size() / 2; ++i) {
            const rmp_entry_raw raw = load_raw(&words[2 * i]);
            if (raw == rmp_entry_raw{} && !whole) {
                continue; // most are, and nothing is wrong with them
            }
            const rmp_entry e = rmp_entry::decode(raw);
            const spa_t spa = base + i * page_4k;
            check_entry(raw, e, spa);
            if (i != 0) {
                check_part(e, spa, whole);
                others += e.assigned ? 1 : 0;
            }
        }
        const unsigned expected = whole ? 0 : others;
        if (first.subpage_count != expected) {
            found("sub-page count", "of " + hex(base) + " is " +
                                        std::to_string(first.subpage_count) + ", but " +
                                        std::to_string(expected) + " other pages are assigned");
        }
    }

    /// Rules of one entry, wherever it is in its 2 MB region.
    void check_entry(const rmp_entry_raw &raw, const rmp_entry &e, spa_t spa)
    {
        if (has_reserved_bits(raw, e)) {
            found("reserved bits", "of " + hex(spa) + ": " + hex(raw.lo) + " " + hex(raw.hi));
        }
        if (!e.assigned) {
            if (!is_bare(e)) {
                found("unassigned entry",
                      "of " + hex(spa) + ": " + hex(raw.lo) + " " + hex(raw.hi));
            }
            return;
        }
        if (!first_assigned_.has_value()) {
            first_assigned_ = spa;
        }
        asid_pages_[e.asid] += e.size_2m ? pages_per_2m : 1;
    }

    /// Rules of entries 1 to 511 of a 2 MB region.
    void check_part(const rmp_entry &e, spa_t spa, bool whole)
    {
        if (e.subpage_count != 0) {
            found("sub-page count", "at " + hex(spa) + ", which is not 2 MB aligned");
        }
        if (whole ? !e.assigned || !is_bare(e) || e.immutable : e.assigned && e.size_2m) {
            found("2 MB page", "entry of " + hex(spa) + " does not fit its base");
        }
    }

    const machine &m_;
    std::optional<spa_t> first_assigned_; ///< of the region that is being checked
    std::array<std::uint64_t, rmp_entry::asid_limit> asid_pages_{};
    std::vector<std::string> findings_;
};

} // namespace

std::vector<std::string> audit(const machine &m)
{
    auditor a(m);
    for (const rmp_extent &e : m.rmp().extents()) {
        for (spa_t region = align_down(e.covered, region_1g); region < e.covered + e.covered_bytes;
             region += region_1g) {
            a.check_region(region);
        }
    }
    if (m.rmp().config().layout != rmp_layout::none) {
        a.check_asid_counts();
    }
    return a.take();
}

std::vector<std::string> audit_region(const machine &m, spa_t spa)
{
    auditor a(m);
    a.check_region(align_down(spa, region_1g));
    return a.take();
}

} // namespace rmpopt::hw
