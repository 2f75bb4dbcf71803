// SPDX-License-Identifier: GPL-2.0-or-later
// The SNP-relevant state of one machine: memory, RMP, cores and their registers.
//
// Thread-safety: `rmp_lock()` guards every change of the RMP, of RMPOPT bits that get set, of the
// IOMMU's buffers and of SNP_EN. Lock-free for readers: rmp_table::load, rmpopt_table::test,
// snp_enabled. It is a leaf lock: nothing is called outside the model while it is held.
#pragma once

#include "hw/counters.h"
#include "hw/effects.h"
#include "hw/persona.h"
#include "hw/policy.h"
#include "hw/rmp_table.h"
#include "hw/rmpopt_table.h"

#include <array>
#include <memory>
#include <mutex>
#include <vector>

namespace rmpopt::hw
{

/// Which core each logical CPU (thread) belongs to; cores are numbered from 0 without gaps.
struct topology {
    std::vector<unsigned> core_of_thread;

    unsigned threads() const { return static_cast<unsigned>(core_of_thread.size()); }
    unsigned cores() const;
};

/// MSRs of one core (rmp.md 2.4: SNP_EN and the RMP registers are per core).
struct core_state {
    std::atomic<bool> snp_en{false};
    bool vmpl_en = false;
    std::uint64_t rmp_base = 0;
    std::uint64_t rmp_end = 0;
    std::uint64_t rmp_cfg = 0;
    rmpopt_table rmpopt;
};

/// The pages that a logical CPU holds from a successful VMRUN to #VMEXIT: VMCB, AVIC backing page
/// and, for SEV-ES and SNP guests, VMSA (APM vol. 2, 15.36.12). The host save area is not one.
struct held_pages {
    std::array<spa_t, 3> spa{};
    unsigned count = 0;
};

/// State of one logical CPU.
struct thread_state {
    std::uint64_t syscfg = 0; ///< without SNP_EN and VMPL_EN, which are the core's
    std::uint64_t hwcr = 0;
    std::uint64_t vm_hsave_pa = 0;
    held_pages held; ///< empty in hypervisor mode; guarded by the RMP lock
};

class machine
{
  public:
    struct settings {
        const persona *cpu = nullptr;
        policy choices{};
        topology cpus{};
        memory_view memory{};
        unsigned phys_bits = 48; ///< MAXPHYADDR as the guest sees it
    };

    explicit machine(settings s);

    const persona &cpu() const { return *settings_.cpu; }
    const policy &choices() const { return settings_.choices; }
    const topology &cpus() const { return settings_.cpus; }
    const memory_view &memory() const { return settings_.memory; }
    unsigned phys_bits() const { return settings_.phys_bits; }

    std::mutex &rmp_lock() { return rmp_lock_; }
    rmp_table &rmp() { return rmp_; }
    const rmp_table &rmp() const { return rmp_; }
    counter_set &counters() { return counters_; }
    const counter_set &counters() const { return counters_; }

    core_state &core(unsigned core) { return cores_[core]; }
    const core_state &core(unsigned core) const { return cores_[core]; }
    core_state &core_of(unsigned thread) { return cores_[cpus().core_of_thread[thread]]; }
    const core_state &core_of(unsigned thread) const
    {
        return cores_[cpus().core_of_thread[thread]];
    }
    thread_state &thread(unsigned thread) { return threads_[thread]; }
    const thread_state &thread(unsigned thread) const { return threads_[thread]; }

    bool snp_enabled(unsigned thread) const
    {
        return core_of(thread).snp_en.load(std::memory_order_acquire);
    }
    /// SNP_EN on every core, as SNP_INIT demands.
    bool snp_enabled_everywhere() const;
    bool snp_enabled_somewhere() const;

    /// What a BIOS does with the RMP before it starts an operating system: the registers of all
    /// cores, and for the segmented layout the RST in memory.
    void bios_setup(const rmp_config &config);

    /// Changes one entry with everything that hangs on it: sub-page count of the 2 MB region,
    /// per-ASID page counts, the RMPOPT bit of the region on all cores, and the effect for the
    /// page's host-writability. `size_2m` entries stand for their 512 pages.
    /// Preconditions: rmp_lock() held; rmp().covers(spa).
    void replace_entry(spa_t spa, const rmp_entry &entry, effect_list &effects);

    /// The bit of the region on all cores (RMPUPDATE's broadcast). RMP lock held.
    void clear_rmpopt_bit(spa_t spa);
    /// All bits on all cores (SNP_INIT). RMP lock held.
    void clear_rmpopt_tables();

    /// Firmware's x86 shutdown clears SNP_EN on all cores. RMP lock held. Host-writability
    /// changes are the caller's to report.
    void firmware_clear_snp_en();

    /// A guest starts to run on `thread` or leaves it. RMP lock held.
    void enter_guest(unsigned thread, const held_pages &pages) { threads_[thread].held = pages; }
    void leave_guest(unsigned thread) { threads_[thread].held = {}; }
    /// A running guest holds the page at `spa` or, with page_2m, one of the 512. RMP lock held.
    bool page_in_use(spa_t spa, std::uint64_t bytes = page_4k) const;

    /// Buffers that the IOMMU writes: event log, PPR log, completion-wait page. RMP lock held.
    const std::vector<spa_range> &iommu_buffers() const { return iommu_buffers_; }
    void set_iommu_buffers(std::vector<spa_range> ranges) { iommu_buffers_ = std::move(ranges); }

    /// INIT of one logical CPU. SNP_EN and the RMP registers stay.
    void init_thread(unsigned thread);

    /// Machine reset: registers, tables, RMP registers back to what power-on leaves.
    void reset();

  private:
    settings settings_;
    std::mutex rmp_lock_;
    rmp_table rmp_;
    counter_set counters_;
    std::unique_ptr<core_state[]> cores_;
    std::unique_ptr<thread_state[]> threads_;
    std::vector<spa_range> iommu_buffers_;
};

} // namespace rmpopt::hw
