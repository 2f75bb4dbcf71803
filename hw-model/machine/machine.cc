// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/machine/machine.h"

#include "hw-model/machine/ciphertext.h"

#include "hw-model/machine/msr.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <utility>

namespace rmpopt::hw
{

namespace
{

constexpr unsigned asid_counters = rmp_bookkeeping_bytes / 8;

/// The bookkeeping area holds one counter of assigned pages for each ASID; firmware refuses to
/// activate an ASID whose counter is not zero.
void count_asid_pages(const memory_view &memory, const rmp_config &config, unsigned asid,
                      std::int64_t pages)
{
    if (asid == 0 || asid >= asid_counters) {
        return;
    }
    std::byte *p = memory.at(config.base + 8ull * asid, 8);
    if (p != nullptr) {
        std::atomic_ref(*reinterpret_cast<std::int64_t *>(p)).fetch_add(pages);
    }
}

/// Precondition: spa is 2 MB aligned, entry.size_2m.
void store_2m(const rmp_table &rmp, spa_t spa, rmp_entry entry)
{
    entry.subpage_count = 0;
    entry.size_2m = entry.assigned;
    rmp_entry rest;
    rest.assigned = entry.assigned;
    for (unsigned i = 1; i < pages_per_2m; ++i) {
        rmp.store(spa + i * page_4k, rest);
    }
    rmp.store(spa, entry);
}

void store_4k(const rmp_table &rmp, spa_t spa, const rmp_entry &old, rmp_entry entry)
{
    const spa_t base = align_down(spa, page_2m);
    if (spa == base) {
        entry.subpage_count = old.subpage_count;
        rmp.store(spa, entry);
        return;
    }
    rmp.store(spa, entry);
    if (old.assigned != entry.assigned && rmp.covers(base)) {
        rmp_entry b = rmp.load(base);
        b.subpage_count = static_cast<std::uint16_t>(b.subpage_count + (entry.assigned ? 1 : -1));
        rmp.store(base, b);
    }
}

/// Which pages of a run are in a guest's view: validated, in their own entry or in that of the 2 MB
/// page around them.
class guests_views
{
  public:
    guests_views(const rmp_table &rmp, spa_t first, unsigned pages) : pages_(pages)
    {
        for (unsigned i = 0; i < pages; ++i) {
            const rmp_entry e = rmp.governing(first + i * page_4k);
            owners_[i] = e.assigned && e.validated ? e.asid : std::uint16_t{0};
        }
    }

    unsigned pages() const { return pages_; }
    /// The guest's ASID; 0 for a page that is in no guest's view.
    std::uint32_t owner(unsigned page) const { return owners_[page]; }

  private:
    std::array<std::uint16_t, pages_per_2m> owners_;
    unsigned pages_;
};

} // namespace

unsigned topology::cores() const
{
    const auto it = std::ranges::max_element(core_of_thread);
    return it == core_of_thread.end() ? 0 : *it + 1;
}

machine::machine(settings s)
    : settings_(std::move(s)), rmp_(settings_.memory),
      cores_(std::make_unique<core_state[]>(settings_.cpus.cores())),
      threads_(std::make_unique<thread_state[]>(settings_.cpus.threads()))
{
    assert(settings_.cpu != nullptr && settings_.phys_bits <= 52);
    reset();
}

void machine::reset()
{
    const std::scoped_lock lock(rmp_lock_);
    conceal_guests();
    snp_initialised_.store(false, std::memory_order_release);
    last_update_range_ = 0;
    for (core_state &core : cores()) {
        core.snp_en.store(false);
        core.vmpl_en = false;
        core.rmp_base = 0;
        core.rmp_end = rmp_end_low_bits;
        core.rmp_cfg = 0;
        reset_rmpopt(core);
    }
    for (unsigned t = 0; t < cpus().threads(); ++t) {
        threads_[t].syscfg = syscfg_reset;
        threads_[t].hwcr = hwcr_reset;
        threads_[t].vm_hsave_pa = 0;
        for (written_msr &r : threads_[t].memory_msrs) {
            r.written = false;
        }
        leave_guest(t);
    }
    rmp_.configure({});
    iommu_ = {};
}

bool machine::is_iommu_buffer(spa_t spa) const
{
    return std::ranges::any_of(iommu_.buffers, [spa](const spa_range &r) {
        return spa >= align_down(r.base, page_4k) && spa < align_up(r.base + r.bytes, page_4k);
    });
}

void machine::reset_rmpopt(core_state &core)
{
    core.rmpopt.set_msr(0);
    core.rmpopt.clear_all();
}

void machine::init_thread(unsigned thread)
{
    const std::scoped_lock lock(rmp_lock_);
    leave_guest(thread);
    if (choices().init_msr == choice::init_msr::clear) {
        reset_rmpopt(core_of(thread));
    }
}

rst_rules machine::rst_view() const
{
    return {.entries = cpu().rst_hard_limit ? cpu().cacheable_segments : rst_entries,
            .phys_bits = phys_bits()};
}

bool machine::snp_enabled_everywhere() const
{
    return std::ranges::all_of(cores(), [](const core_state &c) { return c.snp_en.load(); });
}

bool machine::snp_enabled_somewhere() const
{
    return std::ranges::any_of(cores(), [](const core_state &c) { return c.snp_en.load(); });
}

void machine::bios_setup(const rmp_config &config)
{
    const std::scoped_lock lock(rmp_lock_);
    const bool segmented = config.layout == rmp_layout::segmented;
    for (core_state &core : cores()) {
        core.rmp_base = config.base;
        core.rmp_end = segmented ? 0 : config.end;
        core.rmp_cfg = segmented ? rmp_cfg_value(config.segment_shift) : 0;
    }
    configure_rmp(config);
}

void machine::replace_entry(spa_t spa, const rmp_entry &entry, rmp_changes &changes)
{
    assert(rmp_.covers(spa));
    const rmp_entry old = rmp_.load(spa);
    const bool two_mb = entry.size_2m;
    const std::int64_t pages = two_mb ? pages_per_2m : 1;
    const guests_views before(rmp_, spa, two_mb ? pages_per_2m : 1);
    if (old.assigned) {
        count_asid_pages(memory(), rmp_.config(), old.asid, -pages);
    }
    if (entry.assigned) {
        count_asid_pages(memory(), rmp_.config(), entry.asid, pages);
    }
    if (two_mb) {
        store_2m(rmp_, spa, entry);
    } else {
        store_4k(rmp_, spa, old, entry);
    }
    if (old.assigned || entry.assigned || choices().shared_update == choice::shared_update::clear) {
        clear_rmpopt_bit(spa);
    }
    if (old.assigned != entry.assigned) {
        changes.add(spa, two_mb ? page_2m : page_4k, entry.host_writable());
    }
    const guests_views after(rmp_, spa, before.pages());
    for (unsigned i = 0; i < before.pages(); ++i) {
        const spa_t page = spa + i * page_4k;
        if (before.owner(i) != after.owner(i)) {
            recode_page(before.owner(i), page, page_4k);
            recode_page(after.owner(i), page, page_4k);
            changes.add_recoded(page, page_4k);
        }
    }
}

void machine::recode(std::uint32_t asid, spa_t spa, std::span<std::byte> content) const
{
    if (asid != 0 && choices().ciphertext == choice::ciphertext::scramble) {
        hw::recode(keys_[asid], spa, content);
    }
}

void machine::recode_page(std::uint32_t asid, spa_t spa, std::uint64_t bytes) const
{
    for (spa_t page = spa; page < spa + bytes; page += page_4k) {
        std::byte *const content = memory().at(page, page_4k);
        if (content != nullptr && !rmp_.is_table_memory(page)) {
            recode(asid, page, {content, page_4k});
        }
    }
}

void machine::conceal_guests() const
{
    if (!snp_enabled_somewhere()) {
        return;
    }
    rmp_.for_each_assigned([&](spa_t page) {
        const rmp_entry e = rmp_.load(page);
        if (e.validated) {
            recode_page(e.asid, page, e.size_2m ? page_2m : page_4k);
        }
    });
}

void machine::enter_guest(unsigned thread, const pages_in_use &pages)
{
    threads_[thread].in_use.set(pages);
    if (!threads_[thread].in_guest) {
        threads_[thread].in_guest = true;
        guests_running_.fetch_add(1, std::memory_order_release);
    }
}

void machine::leave_guest(unsigned thread)
{
    if (threads_[thread].in_guest) {
        threads_[thread].in_guest = false;
        guests_running_.fetch_sub(1, std::memory_order_release);
        threads_[thread].in_use.set({});
    }
}

bool machine::page_in_use(spa_t spa, std::uint64_t bytes) const noexcept
{
    const std::span threads(threads_.get(), cpus().threads());
    return std::ranges::any_of(threads,
                               [&](const thread_state &t) { return t.in_use.holds(spa, bytes); });
}

bool machine::page_in_use_as(spa_t page, page_use kind) const noexcept
{
    if (guests_running_.load(std::memory_order_acquire) == 0) {
        return false;
    }
    const std::span threads(threads_.get(), cpus().threads());
    return std::ranges::any_of(threads,
                               [&](const thread_state &t) { return t.in_use.holds(page, kind); });
}

void machine::clear_rmpopt_bit(spa_t spa)
{
    for (core_state &core : cores()) {
        core.rmpopt.clear(spa);
    }
}

void machine::clear_rmpopt_tables()
{
    for (core_state &core : cores()) {
        core.rmpopt.clear_all();
    }
}

bool machine::meets_other_update(spa_t spa)
{
    const spa_t range = align_down(spa, page_2m);
    const bool other = range != std::exchange(last_update_range_, range);
    return other && choices().overlap_transient == choice::overlap_transient::once;
}

void machine::firmware_clear_snp_en()
{
    conceal_guests();
    snp_initialised_.store(false, std::memory_order_release);
    for (core_state &core : cores()) {
        core.snp_en.store(false, std::memory_order_release);
        core.vmpl_en = false;
        if (choices().shutdown_msr == choice::shutdown_msr::clear) {
            core.rmpopt.set_msr(0);
        }
    }
    if (choices().shutdown_table == choice::shutdown_table::clear) {
        clear_rmpopt_tables();
    }
}

} // namespace rmpopt::hw
