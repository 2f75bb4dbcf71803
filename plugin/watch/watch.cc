// SPDX-License-Identifier: GPL-2.0-or-later
// State that the rules of the watch share: which CPUs are online, when each region last changed.
#include "watch/watch.h"

#include "base/cpu_list.h"
#include "base/format.h"

#include <algorithm>

namespace rmpopt
{

watch::watch(settings s)
    : settings_(std::move(s)), log_(settings_.on_new), cores_(m().cpus().cores()),
      regions_(hw::align_up(m().memory().end(), hw::region_1g) / hw::region_1g),
      offline_(m().cpus().threads(), true)
{
    for (core_record &c : cores_) {
        c.regions.resize(regions_.size());
    }
}

void watch::online(const place &where)
{
    if (where.cpu.has_value() && offline_[*where.cpu]) {
        offline_[*where.cpu] = false;
        ++generation_; // a pass is justified when a core comes online or goes offline
    }
}

void watch::cpu_offline(unsigned cpu)
{
    const std::scoped_lock lock(lock_);
    if (!offline_[cpu]) {
        offline_[cpu] = true;
        ++generation_;
    }
}

bool watch::is_offline(unsigned core) const
{
    const auto &core_of = m().cpus().core_of_thread;
    for (unsigned t = 0; t < core_of.size(); ++t) {
        if (core_of[t] == core && !offline_[t]) {
            return false;
        }
    }
    return true;
}

void watch::touch(hw::spa_t spa, guest_time at)
{
    page_activity_at_ = at;
    if (spa / hw::region_1g < regions_.size()) {
        regions_[spa / hw::region_1g] = {.generation = ++generation_, .changed_at = at};
    }
}

void watch::touch(const hw::rmp_changes &changes, guest_time at)
{
    for (const hw::rmp_change &r : changes.ranges()) {
        const hw::spa_t end = std::min<hw::spa_t>(r.base + r.bytes, m().memory().end());
        for (hw::spa_t spa = r.base; spa < end;
             spa = hw::align_down(spa, hw::region_1g) + hw::region_1g) {
            touch(spa, at);
        }
    }
}

void watch::rmp_changed(const hw::rmp_changes &effects)
{
    const std::scoped_lock lock(lock_);
    touch(effects, now());
}

/// After SNP_INIT, which clears the RMPOPT tables of all cores but keeps RMPOPT_BASE.
void watch::forget_tables()
{
    ++generation_;
    for (unsigned core = 0; core < cores_.size(); ++core) {
        cores_[core].was_enabled = m().core(core).rmpopt.enabled();
        std::ranges::fill(cores_[core].regions, verification{});
    }
}

void watch::command(std::uint16_t command, const hw::firmware_result &result)
{
    const std::scoped_lock lock(lock_);
    const guest_time at = now();
    const auto id = static_cast<hw::firmware_command>(command);
    const bool initialises =
        id == hw::firmware_command::snp_init || id == hw::firmware_command::snp_init_ex;
    if (initialises) {
        compare_msrs();
    }
    firmware_did(result, at);
    if (initialises && result.status == 0) {
        forget_tables();
        dead_asids_.clear();
        dead_contexts_.clear();
        snp_init_at_ = guest_end_at_ = at;
    } else if (id == hw::firmware_command::snp_shutdown_ex && result.status == 0) {
        leftovers_due_ = true;
    }
}

void watch::firmware_did(const hw::firmware_result &result, guest_time at)
{
    touch(result.rmp_changes, at);
    for (const hw::guest_event &e : result.guests) {
        note_guest(e, at);
    }
    firmware_.snp_init = result.snp_init.value_or(firmware_.snp_init);
    firmware_.memory = result.own_memory.value_or(firmware_.memory);
    page_activity_at_ = at;
}

void watch::firmware_reset(const hw::firmware_result &result)
{
    const std::scoped_lock lock(lock_);
    firmware_did(result, now());
}

void watch::reset()
{
    const std::scoped_lock lock(lock_);
    forget_tables();
    firmware_ = {};
    offline_.assign(offline_.size(), true);
    failures_.clear();
    dead_asids_.clear();
    dead_contexts_.clear();
    snp_was_on_ = snp_is_on_ = leftovers_due_ = false;
    rmpopt_base_use_ = {};
    mapped_.clear();
    base_written_at_ = 0;
}

void watch::tick()
{
    const std::scoped_lock lock(lock_);
    const guest_time at = now();
    for (const lasting &l : what_lasts(at, settings_.bound)) {
        if (!log_.has(l.kind, l.key)) { // as long as it lasts, it is the same one
            log_.add(l.kind, l.key, {}, at, l.spa, l.what);
        }
    }
    leftovers_due_ = leftovers_due_ && at <= leftovers_since() + settings_.bound;
}

std::vector<watch::lasting> watch::what_lasts(guest_time at, guest_time bound) const
{
    look l{.at = at, .bound = bound};
    compare_rmpopt_bases(l);
    look_for_lost_optimisations(l);
    look_for_unused(l);
    look_for_leftovers(l);
    return l.found;
}

std::vector<awaited_finding> watch::awaited() const
{
    const std::scoped_lock lock(lock_);
    const guest_time at = now();
    std::vector<awaited_finding> out;
    for (const lasting &l : what_lasts(at, 0)) {
        if (l.kind.info()->level != severity::note && !log_.has(l.kind, l.key)) {
            out.push_back({.kind = l.kind.info(), .what = l.what, .lasted = at - l.since});
        }
    }
    return out;
}

std::vector<rmpopt_pass> watch::passes() const
{
    const std::scoped_lock lock(lock_);
    return {passes_.begin(), passes_.end()};
}

std::uint64_t watch::pass_count() const
{
    const std::scoped_lock lock(lock_);
    return pass_number_;
}

/// The logical CPUs of some cores in Linux's cpulist notation.
std::string watch::cpu_list(const std::set<unsigned> &cores) const
{
    return cpus_of(m().cpus(), [&](unsigned core) { return cores.contains(core); });
}

} // namespace rmpopt
