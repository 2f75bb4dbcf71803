// SPDX-License-Identifier: GPL-2.0-or-later
// The watch: looks at what a guest kernel does with RMP, RMPOPT and firmware, knows what hardware
// knows, and says so when the kernel misses an optimisation or misuses the hardware.
//
// It only looks: nothing here changes the machine. Events come from the instructions' emulation,
// the secure processor and a ticker; each is told after it happened. What can only be seen by
// waiting (an optimisation that does not come back) is found by tick() and finish().
//
// Thread-safety: all members may be called from any thread. The watch's lock comes before the
// firmware's and the RMP lock; no caller may hold those.
#pragma once

#include "hw-model/access/rmp_check.h"
#include "hw-model/firmware/firmware.h"
#include "hw-model/insn/rmpopt.h"
#include "hw-model/machine/machine.h"
#include "hw-model/machine/msr.h"
#include "hw-model/rmp/rmp_changes.h"
#include "watch/finding.h"

#include <deque>
#include <set>

namespace rmpopt
{

/// What the watch knows of firmware, from the results of its commands.
struct firmware_view {
    bool snp_init = false;
    std::set<std::uint32_t> asids;     ///< of SNP guests that exist
    std::set<hw::spa_t> contexts;      ///< context pages of SNP guests that exist
    std::vector<hw::spa_range> memory; ///< what firmware rightly keeps for itself
};

/// RMPOPT (function 0) executed over many regions in a row, by one or more cores.
struct rmpopt_pass {
    guest_time start = 0, end = 0;
    std::uint64_t executed = 0;
    std::uint64_t optimised = 0; ///< ... with CF = 1
    std::set<unsigned> cores;
    std::uint64_t repeated = 0; ///< ... on a region of which nothing had changed
};

class watch
{
  public:
    struct settings {
        hw::machine *machine = nullptr;
        std::function<guest_time()> clock;
        /// How long a clean region may stay unoptimised, or a dead guest's page assigned.
        guest_time bound = 30 * guest_second;
        std::function<void(const finding &)> on_new;
    };

    explicit watch(settings s);

    // Instructions, after their execution.
    void rmpopt(const place &where, hw::spa_t rax, std::uint64_t rcx, const hw::rmpopt_result &r);
    void wrmsr(const place &where, std::uint32_t index, std::uint64_t value, hw::msr_result r);
    void rmpupdate(const place &where, hw::spa_t spa, hw::rmp_status status);
    void psmash(const place &where, hw::spa_t spa, hw::rmp_status status);
    /// A store of the host was refused by this rule of the RMP.
    void write_refused(const place &where, std::optional<hw::spa_t> spa, hw::rmp_rule rule);

    /// HLT with interrupts off: what Linux does with a CPU that it takes offline.
    void cpu_offline(unsigned cpu);

    /// A command of the secure processor has been executed.
    void command(std::uint16_t command, const hw::firmware_result &result);
    /// Pages became assigned or not, whoever did it.
    void rmp_changed(const hw::rmp_changes &effects);

    /// The machine was reset.
    void reset();
    /// Looks for what is overdue.
    void tick();

    std::vector<finding> findings() const { return log_.all(); }
    /// The last passes, the newest last; and how many there were in all.
    std::vector<rmpopt_pass> passes() const;
    std::uint64_t pass_count() const;
    guest_time bound() const { return settings_.bound; }

  private:
    /// Last RMPOPT (function 0) of one core on one region.
    struct verification {
        std::uint64_t generation = 0; ///< of the region when it was looked at; 0: never
        guest_time at = 0;
        unsigned thread = 0;
        std::uint64_t pass = 0;
        bool optimised = false;
    };
    struct core_record {
        guest_time enabled_at = 0;
        bool was_enabled = false; ///< since SNP_INIT
        std::vector<verification> regions;
    };
    struct region_record {
        std::uint64_t generation = 1; ///< grows with every change
        guest_time changed_at = 0;
    };
    struct failure {
        hw::spa_t spa = 0;
        hw::rmp_status status = hw::rmp_status::success;
        unsigned times = 0;
    };

    // watch.cc
    guest_time now() const { return settings_.clock(); }
    hw::machine &m() const { return *settings_.machine; }
    void online(const place &where);
    bool is_offline(unsigned core) const;
    void touch(hw::spa_t spa, guest_time at);
    void touch(const hw::rmp_changes &changes, guest_time at);
    void forget_tables();
    std::string cpu_list(const std::set<unsigned> &cores) const;

    // watch_msr.cc
    void note_rmpopt_base(const place &where, std::uint64_t value, hw::msr_result r);
    void note_syscfg(const place &where, std::uint64_t value);
    void look_for_dirty_rmp(const place &where);
    void compare_msrs();
    void compare_rmpopt_bases(guest_time at);

    // watch_rmpopt.cc
    void note_refused(const place &where, hw::spa_t rax, hw::fault f);
    void verified(const place &where, hw::spa_t region, bool optimised);
    rmpopt_pass &current_pass(const verification &last, unsigned thread, guest_time at);
    void note_repeat(const place &where, const verification &last, hw::spa_t region);
    bool holds_dead_pages(hw::spa_t region) const;

    // watch_lost.cc
    bool uses_rmpopt() const; ///< enabled on some core since SNP_INIT
    struct loss {
        std::string cause;
        std::set<unsigned> cores;
        bool operator<(const loss &o) const
        {
            return std::tie(cause, cores) < std::tie(o.cause, o.cores);
        }
    };
    void look_for_lost_optimisations(guest_time at);
    void look_for_unused(guest_time at);
    std::map<std::string, std::set<unsigned>> losses_of(std::size_t region, guest_time at) const;
    std::string cause_of_loss(unsigned core, std::size_t region) const;
    bool is_clean(std::size_t region) const;
    bool known_to_fail(std::size_t region) const;

    // watch_pages.cc
    void note_status(const place &where, hw::spa_t spa, hw::rmp_status status,
                     std::string_view insn);
    void note_guest(const hw::guest_event &e, guest_time at);
    void look_for_leftovers(guest_time at);

    const settings settings_;
    finding_log log_;

    mutable std::mutex lock_; ///< guards all that follows
    firmware_view firmware_;
    std::vector<core_record> cores_;
    std::vector<region_record> regions_;
    std::vector<bool> offline_; ///< by logical CPU; those that never ran count as offline
    std::map<unsigned, failure> failures_;
    std::set<std::uint32_t> dead_asids_;
    std::set<hw::spa_t> dead_contexts_;
    std::uint64_t generation_ = 1;
    std::uint64_t previous_pass_generation_ = 0; ///< when the pass before the last one started
    std::uint64_t last_pass_generation_ = 0;
    std::uint64_t pass_number_ = 0;
    std::deque<rmpopt_pass> passes_;
    std::uint64_t sibling_repeats_ = 0; ///< in the current pass
    bool snp_was_on_ = false;           ///< SNP_EN was set since the reset
    bool snp_is_on_ = false;            ///< ... and still was at the last WRMSR of SYSCFG
    bool leftovers_due_ = false;
    guest_time snp_init_at_ = 0, guest_end_at_ = 0, page_activity_at_ = 0, base_written_at_ = 0;
};

} // namespace rmpopt
