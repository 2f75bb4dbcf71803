// SPDX-License-Identifier: GPL-2.0-or-later
// Rules about MSRs: writes that are refused, lost or differ between CPUs, and SNP_EN set while the
// RMP is not zero.
#include "base/format.h"
#include "watch/watch.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

namespace rmpopt
{

namespace
{

/// A kernel writes RMPOPT_BASE core by core, so the values may differ for this long.
constexpr guest_time base_grace = 2 * guest_second;

struct msr_name {
    std::uint32_t index;
    std::string_view name;
};
/// What firmware compares at SNP_INIT, besides what says where memory lies.
constexpr std::array compared{
    msr_name{hw::msr::syscfg, "SYSCFG"},           msr_name{hw::msr::hwcr, "HWCR"},
    msr_name{hw::msr::vm_hsave_pa, "VM_HSAVE_PA"}, msr_name{hw::msr::rmp_base, "RMP_BASE"},
    msr_name{hw::msr::rmp_end, "RMP_END"},         msr_name{hw::msr::rmp_cfg, "RMP_CFG"},
};
constexpr std::array others{msr_name{hw::msr::rmpopt_base, "RMPOPT_BASE"},
                            msr_name{hw::msr::top_mem, "TOP_MEM"},
                            msr_name{hw::msr::top_mem2, "TOP_MEM2"}};

std::string name_of(std::uint32_t index)
{
    for (const std::span<const msr_name> names : {std::span<const msr_name>(compared), {others}}) {
        const auto known = std::ranges::find(names, index, &msr_name::index);
        if (known != names.end()) {
            return std::string(known->name);
        }
    }
    return formatted("MSR {:#x}", index);
}

/// Address of the first nonzero word in the RMP's bookkeeping area or entries.
std::optional<hw::spa_t> first_dirty_word(const hw::machine &m)
{
    std::vector<hw::spa_range> parts{{m.rmp().config().base, hw::rmp_bookkeeping_bytes}};
    for (const hw::rmp_extent &e : m.rmp().extents()) {
        parts.push_back({e.table, e.covered_bytes / hw::page_4k * hw::rmp_entry_bytes});
    }
    for (const hw::spa_range &part : parts) {
        const auto *word =
            reinterpret_cast<const std::uint64_t *>(m.memory().at(part.base, part.bytes));
        if (word == nullptr) {
            continue;
        }
        const auto *end = word + part.bytes / sizeof *word;
        const auto *dirty = std::find_if(word, end, [](std::uint64_t w) { return w != 0; });
        if (dirty != end) {
            return part.base + static_cast<hw::spa_t>(dirty - word) * sizeof *word;
        }
    }
    return std::nullopt;
}

hw::memory_view without(const hw::memory_view &memory, const std::vector<hw::spa_range> &parts)
{
    std::vector<hw::ram_range> out(memory.ranges().begin(), memory.ranges().end());
    for (const hw::spa_range &part : parts) {
        std::vector<hw::ram_range> kept;
        for (const hw::ram_range &r : out) {
            const hw::spa_t end = r.base + r.bytes;
            const hw::spa_t before = std::clamp(part.base, r.base, end);
            const hw::spa_t after = std::clamp(part.end(), r.base, end);
            if (before > r.base) {
                kept.push_back({r.base, before - r.base, r.host});
            }
            if (after < end) {
                kept.push_back({after, end - after, r.host + (after - r.base)});
            }
        }
        out = std::move(kept);
    }
    return hw::memory_view(std::move(out));
}

bool has_ram(const hw::memory_view &memory, std::size_t region)
{
    const hw::spa_t base = region * hw::region_1g;
    return std::ranges::any_of(memory.ranges(), [&](const hw::ram_range &r) {
        return r.base < base + hw::region_1g && base < r.base + r.bytes;
    });
}

} // namespace

void watch::rdmsr(std::uint32_t index)
{
    const std::scoped_lock lock(lock_);
    if (index == hw::msr::rmpopt_base && rmpopt_base_use_.empty()) {
        rmpopt_base_use_ = "only read it";
    }
}

void watch::wrmsr(const place &where, std::uint32_t index, std::uint64_t value, hw::msr_result r)
{
    const std::scoped_lock lock(lock_);
    online(where);
    if (r == hw::msr_result::gp0) {
        log_.add("msr-refused", formatted("{:#x}", index), where, now(), std::nullopt,
                 formatted("WRMSR of {:#x} to {} refused", value, name_of(index)));
    }
    if (index == hw::msr::rmpopt_base) {
        note_rmpopt_base(where, value, r);
    } else if (index == hw::msr::syscfg && r == hw::msr_result::done) {
        note_syscfg(where, value);
    }
}

void watch::note_rmpopt_base(const place &where, std::uint64_t value, hw::msr_result r)
{
    const unsigned core = m().cpus().core_of_thread[*where.cpu];
    const hw::rmpopt_table &table = m().core(core).rmpopt;
    if (r == hw::msr_result::done && table.msr() != value) {
        log_.add("msr-lost", "RMPOPT_BASE", where, now(), std::nullopt,
                 formatted("RMPOPT_BASE of CPU {} is {:#x} after WRMSR of {:#x}", *where.cpu,
                           table.msr(), value));
    }
    core_record &record = cores_[core];
    const guest_time before = std::exchange(base_written_at_, now());
    if (table.enabled()) {
        const bool first_core = before == 0 || base_written_at_ > before + base_grace;
        if (first_core && settings_.mapped_by_kernel) {
            look_what_is_mapped();
        }
        record.enabled_at = base_written_at_;
        record.was_enabled = true;
    } else {
        rmpopt_base_use_ = (value & hw::rmpopt_enable) == 0 ? "written it without RMPOPT_EN"
                           : r == hw::msr_result::gp0       ? "tried to, and was refused"
                                                            : "tried to, without effect";
    }
    if (m().choices().msr_rewrite == hw::choice::msr_rewrite::clear ||
        table.base() != record.base) { // the table is empty now
        std::ranges::fill(record.regions, verification{});
    }
    record.base = table.base();
    ++generation_;
}

/// A pass covers the gaps between the kernel's memory as well, but nothing above it.
void watch::look_what_is_mapped()
{
    // A kernel maps all of the RMP, wherever that is.
    const hw::memory_view memory = without(m().memory(), m().rmp().table_memory());
    mapped_ = settings_.mapped_by_kernel(memory).value_or(std::vector<bool>{});
    bool is_below = false;
    for (std::size_t r = mapped_.size(); r-- > 0;) {
        is_below = is_below || mapped_[r];
        mapped_[r] = mapped_[r] || (is_below && !has_ram(m().memory(), r));
    }
}

void watch::note_syscfg(const place &where, std::uint64_t value)
{
    const bool wanted = (value & hw::syscfg_snp_en) != 0;
    const bool have = m().snp_enabled(*where.cpu);
    if (wanted && !have) {
        log_.add(
            "msr-lost", "SYSCFG", where, now(), std::nullopt,
            formatted("SYSCFG.SNP_EN of CPU {} is clear after WRMSR of {:#x}", *where.cpu, value));
    }
    if (have && !snp_is_on_) {
        look_for_dirty_rmp(where);
    }
    snp_is_on_ = m().snp_enabled_somewhere();
    snp_was_on_ |= snp_is_on_;
}

void watch::look_for_dirty_rmp(const place &where)
{
    if (const auto dirty = first_dirty_word(m())) {
        log_.add("dirty-rmp", "", where, now(), dirty,
                 formatted("SNP_EN set while the RMP holds something at {:#x}", *dirty));
    }
}

/// Called at SNP_INIT, when firmware compares the registers, too.
void watch::compare_msrs()
{
    for (const msr_name &r : compared) {
        std::uint64_t first = 0;
        if (hw::rdmsr(m(), 0, r.index, first) != hw::msr_result::done) {
            continue;
        }
        for (unsigned t = 1; t < m().cpus().threads(); ++t) {
            std::uint64_t other = 0;
            hw::rdmsr(m(), t, r.index, other);
            if (other != first) {
                log_.add("msr-unequal", std::string(r.name), {.cpu = t}, now(), std::nullopt,
                         formatted("{} is {:#x} on CPU 0 and {:#x} on CPU {} at SNP_INIT", r.name,
                                   first, other, t));
            }
        }
    }
    if (const auto r = hw::unequal_memory_msr(m())) {
        log_.add("msr-unequal", name_of(r->index), {.cpu = r->other}, now(), std::nullopt,
                 formatted("{} is {:#x} on CPU {} and {:#x} on CPU {} at SNP_INIT",
                           name_of(r->index), r->first_value, r->first, r->other_value, r->other));
    }
}

/// Waits until the kernel has had time to write RMPOPT_BASE on all cores.
void watch::compare_rmpopt_bases(look &l) const
{
    if (!firmware_.snp_init || l.at < base_written_at_ + base_grace) {
        return;
    }
    std::map<std::uint64_t, std::set<unsigned>> by_value;
    for (unsigned c = 0; c < cores_.size(); ++c) {
        if (!is_offline(c)) {
            by_value[m().core(c).rmpopt.msr()].insert(c);
        }
    }
    const bool any_enabled = std::ranges::any_of(
        by_value, [](const auto &v) { return (v.first & hw::rmpopt_enable) != 0; });
    if (by_value.size() < 2 || !any_enabled) {
        return;
    }
    std::string text;
    for (const auto &[value, cores] : by_value) {
        text += formatted("{}{:#x} on CPUs {}", text.empty() ? "" : ", ", value, cpu_list(cores));
    }
    l.found.push_back({.kind = "rmpopt-base-unequal",
                       .key = text,
                       .since = base_written_at_,
                       .what = "RMPOPT_BASE is " + text});
}

} // namespace rmpopt
