// SPDX-License-Identifier: GPL-2.0-or-later
// Rules about RMPOPT itself: executed where it cannot work, or without need.
#include "base/format.h"
#include "watch/watch.h"

#include "watch/assigned_pages.h"

#include <algorithm>
#include <utility>

namespace rmpopt
{

namespace
{

/// A longer pause after a complete pass separates it from the next one.
constexpr guest_time pass_gap = guest_second;
constexpr std::size_t kept_passes = 256;

} // namespace

void watch::rmpopt(const place &where, hw::spa_t rax, std::uint64_t rcx, const hw::rmpopt_result &r)
{
    const std::scoped_lock lock(lock_);
    online(where);
    const hw::core_state &core = m().core_of(*where.cpu);
    if (!core.snp_en.load() && snp_was_on_) {
        log_.add("rmpopt-after-shutdown", "", where, now(), rax,
                 formatted("RMPOPT of {:#x} after SNP was shut down", rax));
    } else if (r.exception != hw::fault::none) {
        note_refused(where, rax, r.exception);
    }
    const bool counts = r.exception == hw::fault::none && rcx == 0 && core.rmpopt.in_window(rax);
    if (counts && rax / hw::region_1g < regions_.size()) {
        verified(where, hw::align_down(rax, hw::region_1g), r.cf);
    } else if (counts) {
        note_no_memory(where, rax, r.cf);
    }
}

/// RMPOPT beyond the last region that has memory: part of the pass, but of no region that counts.
void watch::note_no_memory(const place &where, hw::spa_t rax, bool optimised)
{
    const guest_time at = now();
    rmpopt_pass &pass = current_pass({}, *where.cpu, at);
    pass.end = at;
    ++pass.executed;
    pass.optimised += optimised ? 1 : 0;
    log_.add("rmpopt-no-memory", "", where, at, rax,
             formatted("RMPOPT of {:#x}, where memory ends at {:#x}", rax, m().memory().end()));
}

void watch::note_refused(const place &where, hw::spa_t rax, hw::fault f)
{
    const hw::core_state &core = m().core_of(*where.cpu);
    if (f == hw::fault::ud && m().cpu().rmpopt && !core.rmpopt.enabled()) {
        const unsigned number = m().cpus().core_of_thread[*where.cpu];
        log_.add("rmpopt-disabled", std::to_string(number), where, now(), rax,
                 formatted("RMPOPT on a core whose RMPOPT_BASE is {:#x} (CPUs {})",
                           core.rmpopt.msr(), cpu_list({number})));
        return;
    }
    log_.add("rmpopt-refused", f == hw::fault::ud ? "ud" : "gp", where, now(), rax,
             formatted("RMPOPT of {:#x} raised {}", rax, f == hw::fault::ud ? "#UD" : "#GP(0)"));
}

void watch::verified(const place &where, hw::spa_t region, bool optimised)
{
    const std::size_t number = region / hw::region_1g;
    const unsigned core = m().cpus().core_of_thread[*where.cpu];
    verification &last = cores_[core].regions[number];
    const guest_time at = now();
    rmpopt_pass &pass = current_pass(last, *where.cpu, at);
    const unsigned times = last.pass == pass_number_ ? last.times + 1 : 1;
    pass.end = at;
    ++pass.executed;
    pass.optimised += optimised ? 1 : 0;
    ++pass.by_core[core];
    if (std::exchange(regions_[number].pass, pass_number_) != pass_number_) {
        ++pass.regions;
    }
    if (last.generation == regions_[number].generation && last.optimised == optimised) {
        note_repeat(where, last, region);
    }
    if (!optimised && holds_dead_pages(region)) {
        log_.add("pass-during-teardown", std::to_string(pass_number_), where, at, region,
                 formatted("RMPOPT of {:#x} fails on pages of a guest that has ended", region));
    }
    last = {.generation = regions_[number].generation,
            .at = at,
            .thread = *where.cpu,
            .pass = pass_number_,
            .times = times,
            .optimised = optimised};
}

/// True when the core may return to a region once more in the current pass. When something has
/// changed since the pass began, it has a reason for another one.
bool watch::may_lead(const verification &last, unsigned core)
{
    if (last.times > 1 || generation_ != last_pass_generation_) {
        return false;
    }
    std::optional<unsigned> &leader = passes_.back().leader;
    leader = leader.value_or(core);
    return leader == core;
}

/// True when every core that can has been through all regions of the pass as often as it will.
bool watch::is_complete(const rmpopt_pass &pass) const
{
    for (unsigned core = 0; core < cores_.size(); ++core) {
        const auto executed = pass.by_core.find(core);
        if (executed != pass.by_core.end()) {
            if (executed->second % pass.regions != 0) {
                return false;
            }
        } else if (cores_[core].was_enabled && !is_offline(core)) {
            return false;
        }
    }
    return true;
}

/// True when an RMPOPT at this time is too late to belong to the pass. The kernel, or the host that
/// runs its CPUs in turn, may pause in the middle of one.
bool watch::has_ended(const rmpopt_pass &pass, guest_time at) const
{
    const bool may_go_on = generation_ == last_pass_generation_ && !is_complete(pass);
    return at > pass.end + (may_go_on ? settings_.bound : pass_gap);
}

/// The current pass. A new one begins after a pause, or when a CPU returns to a region that it has
/// already visited in this pass, unless its core leads the pass; or when a second core returns to
/// one after the leader has been through twice, perhaps on its other thread, as the first may have
/// gone offline.
rmpopt_pass &watch::current_pass(const verification &last, unsigned thread, guest_time at)
{
    const bool in_pass = last.generation != 0 && last.pass == pass_number_;
    const bool leads = in_pass && may_lead(last, m().cpus().core_of_thread[thread]);
    const bool follows =
        sibling_repeats_ == 0 && !passes_.empty() && passes_.back().doubled > regions_.size() / 2;
    const bool again = in_pass && !leads && (last.thread == thread || follows);
    if (passes_.empty() || again || has_ended(passes_.back(), at)) {
        previous_pass_generation_ = last_pass_generation_;
        last_pass_generation_ = generation_;
        ++pass_number_;
        sibling_repeats_ = 0;
        passes_.emplace_back().start = at;
        if (passes_.size() > kept_passes) {
            passes_.pop_front();
        }
    }
    return passes_.back();
}

/// Notes that the region has not changed since this core last executed RMPOPT on it. A kernel may
/// have its reasons for a single repetition. When more than half of all regions are repeated, the
/// whole pass was unnecessary.
void watch::note_repeat(const place &where, const verification &last, hw::spa_t region)
{
    rmpopt_pass &pass = passes_.back();
    const unsigned core = m().cpus().core_of_thread[*where.cpu];
    if (last.pass == pass_number_) {
        if (pass.leader == core) {
            note_leader(where, region);
        } else if (++sibling_repeats_ > regions_.size() / 2) {
            log_.add(
                "sibling-repeat", formatted("{}", *where.cpu), where, now(), region,
                formatted("CPU {} repeats RMPOPT of its sibling, CPU {}", *where.cpu, last.thread));
        }
        return;
    }
    ++pass.repeated;
    if (generation_ == previous_pass_generation_ && pass.repeated > regions_.size() / 2) {
        log_.add("useless-pass", std::to_string(pass_number_), where, now(), region,
                 formatted("pass {} repeats RMPOPT though nothing has changed since the start of "
                           "the pass before",
                           pass_number_));
    }
}

void watch::note_leader(const place &where, hw::spa_t region)
{
    rmpopt_pass &pass = passes_.back();
    if (++pass.doubled == regions_.size() / 2 + 1) {
        log_.add(
            "rmpopt-twice", "", where, now(), region,
            formatted("one core, that of CPU {}, executes RMPOPT twice in a pass: {} more than "
                      "needed",
                      *where.cpu, regions_.size()));
    }
}

bool watch::holds_dead_pages(hw::spa_t region) const
{
    if (dead_asids_.empty()) {
        return false;
    }
    const std::scoped_lock rmp_lock(m().rmp_lock());
    return any_assigned_page(m().rmp(), {region, hw::region_1g},
                             [this](hw::spa_t, const hw::rmp_entry &e, unsigned) {
                                 return dead_asids_.contains(e.asid);
                             });
}

} // namespace rmpopt
