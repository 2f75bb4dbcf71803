// SPDX-License-Identifier: GPL-2.0-or-later
// Which RMP checks the machine makes and which RMPOPT saves it, over guest time. Plain C++: what
// executes stores tells it where they went.
//
// Thread-safety: vcpu(i) and what it leads to belong to the vCPU's thread; everything else may be
// called by any.
#pragma once

#include "hw-model/machine/machine.h"
#include "hw-model/insn/rmpopt.h"
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

/// One vCPU's part. Apart from others in memory: it is written all the time.
struct alignas(64) vcpu_measure {
    vcpu_measure(unsigned index, unsigned regions) : cells(regions), intervals(index + 1) {}

    page_filter<cell_counter *> filter;
    vcpu_cells cells;
    bool in_guest = false; ///< when filters were filled
    /// Once a TLB is modelled, and from then on.
    std::atomic<vcpu_tlb *> tlb{nullptr};
    interval_source intervals;

    /// The drawn execution of a block that is being looked at.
    struct {
        cell_accessor who = cell_accessor::host;
        std::uint64_t stores = 0, relevant = 0, skipped = 0;
    } block;
    std::mutex lock; ///< guards `drawn`; taken once for a drawn block
    std::array<block_sums, cell_accessors> drawn{};

    /// Ends the block, which was one of `interval`.
    void close_block(unsigned interval);

    // What filters found for a page, or for all, may not hold any more. The vCPU's thread.
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
        tlb_geometry tlb{};                   ///< of a core, for when it is asked for
        std::function<std::uint64_t()> clock; ///< guest time in ns
        /// Called with a lock held: must not call back.
        std::function<void(std::string_view type, nlohmann::ordered_json fields)> event;
    };

    explicit measurement(settings s);

    vcpu_measure &vcpu(unsigned thread) { return *vcpus_[thread]; }
    /// What becomes of a write to `spa` now.
    cell_outcome outcome_of(unsigned thread, cell_accessor who, hw::spa_t spa) const;
    /// The counter of such writes on this vCPU.
    cell_counter &counter_of(unsigned thread, cell_accessor who, cell_level level, hw::spa_t spa);
    const hw::memory_view &memory() const { return settings_.machine->memory(); }
    bool is_ram(hw::spa_t spa) const { return settings_.machine->memory().at(spa, 1) != nullptr; }
    /// `spa` has a counter.
    bool is_counted(hw::spa_t spa) const { return spa < machine_end_; }

    /// RMPOPT tables or SNP_EN may have changed.
    void machine_changed();
    /// RMP entries of `r` have changed, for which hardware drops translations.
    void rmp_changed(hw::spa_range r);
    /// Nothing is translated any more on this thread: INIT or reset.
    void tlb_reset(unsigned thread);

    // Of the vCPU that executed it, after it.
    void rmpopt(unsigned thread, const hw::rmpopt_result &r);
    void rmpupdate(hw::spa_t spa, hw::rmp_status s);
    void psmash(hw::spa_t spa, hw::rmp_status s);
    /// SNP guests launched and ended so far.
    void guests(std::uint64_t launched, std::uint64_t ended);

    /// Counting is switched while no vCPU runs; counters go on from where they are. The caller sees
    /// to it that stores are counted as asked from now on.
    void switched(measure_request to);
    measure_request mode() const;
    /// The clock is about to begin at 0 again, as the machine starts anew.
    void clock_restarts();
    /// A phase begins, and ends the one before; "" only ends it.
    void mark(std::string_view name);

    /// To be called a few times a second: tells the events what has been counted since.
    void tick();

    /// The "measure" part of the report; null when nothing was ever asked for.
    nlohmann::ordered_json report() const;
    /// Memory in use by all of this.
    std::size_t bytes() const;

    /// Phases that are kept; more are counted into the last.
    static constexpr std::size_t most_phases = 4096;

  private:
    struct phase {
        std::string name;
        std::uint64_t start = 0, end = 0; ///< guest time; end: 0 while it lasts
        nlohmann::ordered_json counted;   ///< once it has ended
    };

    totals collect() const;
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
    std::deque<phase> phases_;
    std::vector<std::uint64_t> told_tables_; ///< by core: version of the table that was told
};

} // namespace rmpopt
