// SPDX-License-Identifier: GPL-2.0-or-later
// The watch follows how a guest kernel uses the RMP, RMPOPT and firmware, compares that with the
// state of the hardware, and reports when the kernel misses an optimisation or misuses the
// hardware.
//
// It never changes the machine. It is told of each event after the event, by the emulation of
// instructions, the secure processor and a ticker. tick() finds what shows only after some time,
// such as an optimisation that does not come back.
//
// Thread-safety: all members may be called from any thread. The watch takes its own lock before the
// firmware's lock and the RMP lock, so no caller may hold either of those.
#pragma once

#include "events/listener.h"
#include "hw-model/access/rmp_check.h"
#include "hw-model/firmware/firmware.h"
#include "hw-model/insn/rmpopt.h"
#include "hw-model/machine/machine.h"
#include "hw-model/machine/msr.h"
#include "hw-model/rmp/rmp_changes.h"
#include "watch/finding.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <set>

namespace rmpopt
{

/// What the watch knows of firmware, from the results of its commands.
struct firmware_view {
    bool snp_init = false;
    std::set<std::uint32_t> asids;     ///< of SNP guests that exist
    std::set<hw::spa_t> contexts;      ///< context pages of SNP guests that exist
    std::vector<hw::spa_range> memory; ///< what firmware keeps for itself while it is initialised
};

/// A pass: RMPOPT (function 0) of many regions in a row, on one or more cores. One of them may do
/// it twice: Linux 7.4 starts on one core, so that the others find the result of its scan, and then
/// runs on all of them.
struct rmpopt_pass {
    guest_time start = 0, end = 0;
    std::uint64_t executed = 0;
    std::uint64_t optimised = 0;               ///< ... with CF = 1
    std::map<unsigned, std::uint64_t> by_core; ///< executed
    std::uint64_t regions = 0;                 ///< on how many different ones
    std::optional<unsigned> leader;            ///< the core that does it twice
    std::uint64_t doubled = 0;                 ///< ... and how often it did
    std::uint64_t repeated = 0; ///< ... on a region that had not changed since the core's last one
};

/// What has been wrong, but not for the bound.
struct awaited_finding {
    const finding_info *kind = nullptr;
    std::string what;
    guest_time lasted = 0; ///< so far
};

using mapped_by_kernel_fn =
    std::function<std::optional<std::vector<bool>>(const hw::memory_view &)>;

class watch
{
  public:
    struct settings {
        hw::machine *machine = nullptr;
        std::function<guest_time()> clock;
        /// How long a clean region may stay unoptimised, and a page of an ended guest assigned.
        guest_time bound = 30 * guest_second;
        std::function<void(const finding &)> on_new;
        /// By 1 GB region, whether the kernel maps any of this memory there, on the CPU that calls
        /// now; nothing when that cannot be found out.
        mapped_by_kernel_fn mapped_by_kernel{};
    };

    explicit watch(settings s);

    // Instructions, to be told after their execution.
    void rmpopt(const place &where, hw::spa_t rax, std::uint64_t rcx, const hw::rmpopt_result &r);
    void rdmsr(std::uint32_t index);
    void wrmsr(const place &where, std::uint32_t index, std::uint64_t value, hw::msr_result r);
    void rmpupdate(const place &where, hw::spa_t spa, hw::rmp_status status);
    void psmash(const place &where, hw::spa_t spa, hw::rmp_status status);
    /// The RMP refused a store of the host by this rule.
    void write_refused(const place &where, std::optional<hw::spa_t> spa, hw::rmp_rule rule);

    /// An SNP guest broke a rule of its own.
    void guest_page(const guest_page_event &e);

    /// The CPU executed HLT with interrupts off, as Linux does when it takes a CPU offline.
    void cpu_offline(unsigned cpu);

    /// The secure processor has executed a command.
    void command(std::uint16_t command, const hw::firmware_result &result);
    /// The secure processor was reset, and not the machine.
    void firmware_reset(const hw::firmware_result &result);
    /// Pages were assigned or unassigned, by an instruction or by firmware.
    void rmp_changed(const hw::rmp_changes &effects);

    /// The machine was reset.
    void reset();
    /// Looks for everything that is overdue. To be called at short intervals.
    void tick();

    std::vector<finding> findings() const { return log_.all(); }
    /// The errors and warnings that tick() will add unless something changes before the bound is
    /// over.
    std::vector<awaited_finding> awaited() const;
    /// The most recent passes, oldest first, and the number of all passes.
    std::vector<rmpopt_pass> passes() const;
    std::uint64_t pass_count() const;
    /// GiB of the regions that the kernel leaves alone: it did not map them when it enabled RMPOPT.
    /// mem= on its command line does that.
    std::vector<std::size_t> unmapped() const;
    guest_time bound() const { return settings_.bound; }

  private:
    /// The last RMPOPT (function 0) of one core on one region.
    struct verification {
        std::uint64_t generation = 0; ///< of the region at that time; 0: none yet
        guest_time at = 0;
        unsigned thread = 0;
        std::uint64_t pass = 0;
        unsigned times = 0; ///< in that pass
        bool optimised = false;
    };
    struct core_record {
        guest_time enabled_at = 0;
        hw::spa_t base = 0;       ///< of its RMPOPT table
        bool was_enabled = false; ///< since SNP_INIT
        std::vector<verification> regions;
    };
    struct region_record {
        std::uint64_t generation = 1; ///< increases with every change
        guest_time changed_at = 0;
        std::uint64_t pass = 0; ///< the last one that came here
    };
    struct failure {
        hw::spa_t spa = 0;
        hw::rmp_status status = hw::rmp_status::success;
        unsigned times = 0;
    };
    /// What is wrong once it has lasted for the bound.
    struct lasting {
        finding_kind kind;
        std::string key{};
        guest_time since = 0;
        std::optional<hw::spa_t> spa{};
        std::string what{};
    };
    /// A look for what has lasted so long at this time.
    struct look {
        guest_time at = 0, bound = 0;
        std::vector<lasting> found{};
        bool is_over(guest_time since) const { return at > since + bound; }
    };

    // watch.cc
    guest_time now() const { return settings_.clock(); }
    std::vector<lasting> what_lasts(guest_time at, guest_time bound) const;
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
    void compare_rmpopt_bases(look &l) const;
    void look_what_is_mapped();

    // watch_rmpopt.cc
    void note_refused(const place &where, hw::spa_t rax, hw::fault f);
    void verified(const place &where, hw::spa_t region, bool optimised);
    void note_no_memory(const place &where, hw::spa_t rax, bool optimised);
    bool may_lead(const verification &last, unsigned core);
    bool is_complete(const rmpopt_pass &pass) const;
    bool has_ended(const rmpopt_pass &pass, guest_time at) const;
    rmpopt_pass &current_pass(const verification &last, unsigned thread, guest_time at);
    void note_repeat(const place &where, const verification &last, hw::spa_t region);
    void note_leader(const place &where, hw::spa_t region);
    bool holds_dead_pages(hw::spa_t region) const;

    // watch_lost.cc
    bool uses_rmpopt() const; ///< RMPOPT was enabled on some core since SNP_INIT
    struct loss {
        std::string cause;
        std::set<unsigned> cores;
        bool operator<(const loss &o) const
        {
            return std::tie(cause, cores) < std::tie(o.cause, o.cores);
        }
    };
    struct lost_regions {
        std::vector<std::size_t> numbers;
        guest_time since = 0; ///< the last of them
    };
    void look_for_lost_optimisations(look &l) const;
    void look_for_unused(look &l) const;
    guest_time unoptimised_since(unsigned core, std::size_t region) const;
    std::map<std::string, std::set<unsigned>> losses_of(std::size_t region, const look &l) const;
    std::string cause_of_loss(unsigned core, std::size_t region) const;
    bool is_clean(std::size_t region) const;
    bool is_left_alone(std::size_t region) const;
    bool known_to_fail(std::size_t region) const;

    // watch_pages.cc
    void note_status(const place &where, hw::spa_t spa, hw::rmp_status status,
                     std::string_view insn);
    void firmware_did(const hw::firmware_result &result, guest_time at);
    void note_guest(const hw::guest_event &e, guest_time at);
    guest_time leftovers_since() const { return std::max(guest_end_at_, page_activity_at_); }
    void look_for_leftovers(look &l) const;

    const settings settings_;
    finding_log log_;

    mutable std::mutex lock_; ///< guards all members below
    firmware_view firmware_;
    std::vector<core_record> cores_;
    std::vector<region_record> regions_;
    /// By region, by the kernel, or below its last RAM and without any; empty: all are.
    std::vector<bool> mapped_;
    std::vector<bool> offline_; ///< by logical CPU; one that has never run counts as offline
    std::map<unsigned, failure> failures_;
    std::set<std::uint32_t> dead_asids_;
    std::set<hw::spa_t> dead_contexts_;
    std::uint64_t generation_ = 1;
    std::uint64_t previous_pass_generation_ = 0; ///< generation_ when the last but one pass began
    std::uint64_t last_pass_generation_ = 0;     ///< generation_ when the last pass began
    std::uint64_t pass_number_ = 0;
    std::deque<rmpopt_pass> passes_;
    std::uint64_t sibling_repeats_ = 0; ///< in the current pass
    /// What the kernel has done with RMPOPT_BASE while it was not enabled; empty: nothing.
    std::string_view rmpopt_base_use_;
    bool snp_was_on_ = false; ///< SNP_EN was set since the reset
    bool snp_is_on_ = false;  ///< ... and was still set at the last WRMSR of SYSCFG
    bool leftovers_due_ = false;
    guest_time snp_init_at_ = 0, guest_end_at_ = 0, page_activity_at_ = 0, base_written_at_ = 0;
};

} // namespace rmpopt
