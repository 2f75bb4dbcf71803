// SPDX-License-Identifier: GPL-2.0-or-later
// Counts the RMP checks that the machine makes and those that RMPOPT saves, over guest time. Knows
// nothing of QEMU: the callbacks of instrument/ report where each store went.
//
// Thread-safety: vcpu(i) and everything reached through it belong to that vCPU's thread. All other
// members may be called from any thread.
#pragma once

#include "hw-model/insn/rmpopt.h"
#include "hw-model/machine/machine.h"
#include "measure/measure_request.h"
#include "measure/page_filter.h"
#include "measure/totals.h"
#include "measure/vcpu_tlb.h"

#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

namespace rmpopt
{

/// The counters of one vCPU. They have cache lines of their own, because the vCPU writes them all
/// the time.
struct alignas(64) vcpu_measure {
    vcpu_measure(unsigned index, unsigned regions) : cells(regions), intervals(index + 1) {}

    page_filter<cell_counter *> filter;
    vcpu_cells cells;
    cell_accessor filtered = cell_accessor::host; ///< whose accesses the filters are about
    cell_accessor guest = cell_accessor::guest;   ///< the guest that the vCPU ran last
    /// Null until a TLB is modelled for the first time, and never again after that.
    std::atomic<vcpu_tlb *> tlb{nullptr};
    interval_source intervals;

    /// The execution of a block that was drawn as a sample and is being counted.
    struct {
        cell_accessor who = cell_accessor::host;
        std::uint64_t stores = 0, relevant = 0, skipped = 0;
    } block;
    std::mutex lock; ///< guards `drawn`; taken once for a drawn block
    std::array<block_sums, cell_accessors> drawn{};

    /// Ends the block, which was drawn from `interval` executions.
    void close_block(unsigned interval);

    // To be called when the filters may be out of date for a page, or for all pages. On the vCPU's
    // thread.
    void forget(std::uint64_t address);
    void forget_all();

  private:
    friend class measurement;
    std::unique_ptr<vcpu_tlb> tlb_owner_;
};

class measurement
{
  public:
    struct settings {
        const hw::machine *machine = nullptr;
        tlb_geometry tlb{}; ///< of a core, for when it is asked for
        // All are called with the measurement's lock held and must not call back into it.
        std::function<std::uint64_t()> clock; ///< guest time in ns
        std::function<void(std::string_view type, nlohmann::ordered_json fields)> event;
        /// True when the guest has ended, and how far it still runs depends on the host: what it
        /// does from then on is not counted. Unset if it is to be counted anyway.
        std::function<bool()> is_over{};
    };

    explicit measurement(settings s);

    vcpu_measure &vcpu(unsigned thread) { return *vcpus_[thread]; }
    /// Whether a write to `spa` is checked, skipped or exempt at this moment.
    cell_outcome outcome_of(unsigned thread, cell_accessor who, hw::spa_t spa) const;
    /// The vCPU's counter of writes with that outcome.
    cell_counter &counter_of(unsigned thread, cell_accessor who, cell_level level, hw::spa_t spa);
    const hw::memory_view &memory() const { return settings_.machine->memory(); }
    bool is_ram(hw::spa_t spa) const { return settings_.machine->memory().at(spa, 1) != nullptr; }
    /// True below the end of RAM: only there are accesses counted.
    bool is_counted(hw::spa_t spa) const { return spa < machine_end_; }

    /// RMPOPT tables or SNP_EN may have changed.
    void machine_changed();
    /// RMP entries in `r` have changed: hardware drops the translations of these pages.
    void rmp_changed(hw::spa_range r);
    /// INIT or reset has emptied the TLB of this logical CPU.
    void tlb_reset(unsigned thread);

    // Called on the vCPU that executed the instruction, after it.
    void rmpopt(unsigned thread, const hw::rmpopt_result &r);
    void rmpupdate(hw::spa_t spa, hw::rmp_status s);
    void psmash(hw::spa_t spa, hw::rmp_status s);
    /// SNP guests launched and ended so far.
    void guests(std::uint64_t launched, std::uint64_t ended);

    /// The measurement mode has changed. No vCPU may run during the call. Counters keep their
    /// values. The caller arranges that stores are counted in the new mode.
    void switched(measure_request to);
    measure_request mode() const;
    /// To be called before the clock restarts at 0, when the machine boots again.
    void clock_restarts();
    /// Ends the current phase and begins one called `name`; an empty name only ends the phase.
    void mark(std::string_view name);

    /// Adds to the event log what has been counted since the last call. To be called a few times a
    /// second.
    void tick();

    /// The "measure" part of the report; null when nothing was ever measured.
    nlohmann::ordered_json report() const;
    /// Memory that the measurement uses.
    std::size_t bytes() const;

    /// Phases that are kept. What follows is counted into the last one.
    static constexpr std::size_t most_phases = 4096;

  private:
    struct phase {
        std::string name;
        std::uint64_t start = 0, end = 0; ///< guest time; end: 0 while it lasts
        nlohmann::ordered_json counted;   ///< once it has ended
    };

    struct moment {
        std::uint64_t at = 0; ///< guest time
        totals counted;
    };

    // With lock_ held. The clock is read and the counters are collected under the same lock,
    // because one phase ends where the next begins: differences of later and earlier totals never
    // underflow.
    totals collect() const;
    bool is_over() const { return settings_.is_over && settings_.is_over(); }
    /// This moment, or the last one that was noted before the guest was over.
    moment current() const;
    const moment &note() { return noted_ = current(); }
    nlohmann::ordered_json phase_json(const phase &p, const totals &counted) const;
    void end_phase(const totals &now, std::uint64_t at);
    void make_tlbs();
    bool has_tlbs() const { return vcpus_.front()->tlb != nullptr; }
    nlohmann::ordered_json tlb_json(const totals &t) const;
    void tell_tables();
    void tell_work(const totals &now);
    std::uint64_t measured_ns(std::uint64_t now) const;

    const settings settings_;
    unsigned regions_;
    hw::spa_t machine_end_;
    std::vector<std::unique_ptr<vcpu_measure>> vcpus_;
    std::vector<std::atomic<std::uint64_t>> seen_; ///< by core: state for which filters hold

    struct work_counters {
        cell_counter executed{0}, optimised{0}, scans{0}, cached{0}, scanned_2m{0};
    };
    struct change_counters {
        cell_counter count{0}, failed{0};
    };
    void count_change(std::vector<change_counters> &changes, hw::spa_t spa, hw::rmp_status s);

    std::vector<work_counters> work_;                 ///< by core
    std::vector<change_counters> rmpupdate_, psmash_; ///< by region
    cell_counter guests_launched_{0}, guests_ended_{0};

    mutable std::mutex lock_;     ///< guards what follows; never taken on a store's path
    measure_request mode_, ever_; ///< ever_: the last that was not off
    bool used_ = false;
    std::uint64_t started_ns_ = 0, measured_ns_ = 0;
    totals told_, phase_base_;
    moment noted_; ///< where counting ends if the guest is over now
    std::deque<phase> phases_;
    std::vector<std::uint64_t> told_tables_; ///< by core: version of the table that was told
};

} // namespace rmpopt
