// SPDX-License-Identifier: GPL-2.0-or-later
// The SNP-relevant state of one machine: memory, RMP, cores and their registers.
//
// Thread-safety: `rmp_lock()` guards every change of the RMP, of RMPOPT bits that get set, of the
// IOMMU's state, of pages in use and of SNP_EN. Readers need no lock for the const members of
// rmp_table, rmpopt_table::test(), snp_enabled() and page_in_use_as(). It is a leaf lock: nothing
// outside the model is called while it is held.
#pragma once

#include "hw-model/base/counters.h"
#include "hw-model/base/policy.h"
#include "hw-model/machine/cpu_model.h"
#include "hw-model/machine/pages_in_use.h"
#include "hw-model/rmp/rmp_changes.h"
#include "hw-model/rmp/rmp_table.h"
#include "hw-model/rmp/rmpopt_table.h"

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace rmpopt::hw
{

/// Which core each logical CPU (thread) belongs to; cores are numbered from 0 without gaps.
struct topology {
    std::vector<unsigned> core_of_thread;

    unsigned threads() const { return static_cast<unsigned>(core_of_thread.size()); }
    unsigned cores() const;
};

/// MSRs of one core: SNP_EN and the RMP registers are per core (Linux, snp_prepare(); APM vol. 2,
/// 15.36.4). Siblings and firmware may read them at any moment. Written with the RMP lock held:
/// SNP_EN locks the others, so a write and the look at SNP_EN before it must be one step.
struct core_state {
    std::atomic<bool> snp_en{false};
    std::atomic<bool> vmpl_en{false}; ///< written before SNP_EN is set
    std::atomic<std::uint64_t> rmp_base{0};
    std::atomic<std::uint64_t> rmp_end{0};
    std::atomic<std::uint64_t> rmp_cfg{0};
    rmpopt_table rmpopt;
};

/// A register of the emulator's, as software wrote it.
struct written_msr {
    std::atomic<bool> written{false}; ///< false: it is as the emulator or the BIOS left it
    std::atomic<std::uint64_t> value{0};
};
/// MTRRs, IORRs, TOP_MEM and TOP_MEM2; msr.cc has their numbers.
inline constexpr std::size_t memory_msr_count = 34;

/// State of one logical CPU. Its registers are written by the CPU itself; firmware reads them at
/// any moment.
struct thread_state {
    std::atomic<std::uint64_t> syscfg{0}; ///< without SNP_EN and VMPL_EN, which are the core's
    std::atomic<std::uint64_t> hwcr{0};
    std::atomic<std::uint64_t> vm_hsave_pa{0};
    std::array<written_msr, memory_msr_count> memory_msrs{};
    bool in_guest = false;     ///< counted in the machine's number of running guests; RMP lock
    pages_in_use_slots in_use; ///< empty in hypervisor mode
};

/// What SNP_INIT looks at in the IOMMU.
struct iommu_state {
    bool enabled = true;              ///< also where it is not known
    std::vector<spa_range> buffers{}; ///< that it writes: event log, PPR log, completion-wait page
};

class machine
{
  public:
    struct settings {
        const cpu_model *cpu = nullptr;
        policy choices{};
        topology cpus{};
        memory_view memory{};
        unsigned phys_bits = 48; ///< MAXPHYADDR as the guest sees it, at most 52
    };

    explicit machine(settings s);

    const cpu_model &cpu() const { return *settings_.cpu; }
    const policy &choices() const { return settings_.choices; }
    const topology &cpus() const { return settings_.cpus; }
    const memory_view &memory() const { return settings_.memory; }
    unsigned phys_bits() const { return settings_.phys_bits; }

    std::mutex &rmp_lock() { return rmp_lock_; }
    rmp_table &rmp() { return rmp_; }
    const rmp_table &rmp() const { return rmp_; }
    counter_set &counters() { return counters_; }
    const counter_set &counters() const { return counters_; }

    std::span<core_state> cores() { return {cores_.get(), cpus().cores()}; }
    std::span<const core_state> cores() const { return {cores_.get(), cpus().cores()}; }
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
    /// False when the RMP keeps the host from writing the page; that takes a core with SNP_EN.
    /// Takes no lock.
    bool is_host_writable(spa_t spa) const
    {
        return !snp_enabled_somewhere() || rmp_.load(spa).host_writable();
    }

    /// Sets the RMP registers of all cores, as a BIOS does before it starts an operating system.
    /// The RST of a segmented RMP is in memory already.
    void bios_setup(const rmp_config &config);

    /// Puts the table that `config` describes into use. RMP lock held.
    void configure_rmp(const rmp_config &config) { rmp_.configure(config, rst_view()); }
    /// How this CPU reads the segment table (APM vol. 2, 15.36.22.3).
    rst_rules rst_view() const;

    /// Changes one entry with everything that depends on it: sub-page count of the 2 MB region,
    /// per-ASID page counts, the RMPOPT bit of the region on all cores, and the change of the
    /// page's host-writability, and the content, when the guest's use of the page begins or ends
    /// (machine/ciphertext.h). A `size_2m` entry is that of all its 512 pages.
    /// Preconditions: rmp_lock() held; rmp().covers(spa).
    void replace_entry(spa_t spa, const rmp_entry &entry, rmp_changes &changes);

    /// Recodes what lies, or lay, at `spa` in memory of the guest with this ASID, unless the policy
    /// `ciphertext` is `plain`.
    void recode(std::uint32_t asid, spa_t spa, std::span<std::byte> content) const;
    /// The same for memory where it is. The RMP itself, whatever it says of its own pages, is left
    /// alone.
    void recode_page(std::uint32_t asid, spa_t spa, std::uint64_t bytes) const;
    /// The key of the guest that has the ASID. Firmware draws another for each guest.
    void set_encryption_key(std::uint32_t asid, std::uint64_t key) { keys_[asid] = key; }

    /// True when the CPU has RMPOPT and the RMP is segmented, without which it cannot be enabled.
    bool rmpopt_is_possible() const
    {
        return cpu().rmpopt && rmp().config().layout == rmp_layout::segmented;
    }
    /// The bit of the region on all cores (RMPUPDATE's broadcast). RMP lock held.
    void clear_rmpopt_bit(spa_t spa);
    /// All bits on all cores (SNP_INIT). RMP lock held.
    void clear_rmpopt_tables();

    /// SNP_INIT is done; the policy `checks-from` may have waited for it.
    void firmware_initialised() { snp_initialised_.store(true, std::memory_order_release); }
    /// True from SNP_INIT until firmware clears SNP_EN, or a reset. Takes no lock.
    bool snp_initialised() const { return snp_initialised_.load(std::memory_order_acquire); }
    /// For the policy `overlap-transient`: whether an RMPUPDATE of `spa` meets one of another core.
    /// It does not at the next attempt. RMP lock held.
    bool meets_other_update(spa_t spa);
    /// Firmware's x86 shutdown clears SNP_EN on all cores. RMP lock held. Host-writability
    /// changes are the caller's to report. The policies `shutdown-msr` and
    /// `shutdown-table` decide about RMPOPT_BASE and the tables.
    void firmware_clear_snp_en();

    /// A guest starts to run on `thread` or leaves it. RMP lock held.
    void enter_guest(unsigned thread, const pages_in_use &pages);
    void leave_guest(unsigned thread);
    /// True when a running guest uses a page in [spa, spa + bytes). Takes no lock, but the answer
    /// lasts only while the RMP lock is held.
    bool page_in_use(spa_t spa, std::uint64_t bytes = page_4k) const noexcept;
    /// True when a running guest uses the page as `kind`. For the check path: no lock, and a single
    /// load while no guest runs.
    bool page_in_use_as(spa_t page, page_use kind) const noexcept;

    /// The IOMMU when it was last looked at. RMP lock held.
    const iommu_state &iommu() const { return iommu_; }
    void set_iommu(iommu_state state) { iommu_ = std::move(state); }
    /// True for pages that the IOMMU writes itself. SNP_INIT takes them from the host, and from
    /// other devices, but not from the IOMMU. To be called under the lock under which set_iommu()
    /// is.
    bool is_iommu_buffer(spa_t spa) const;

    /// INIT of one logical CPU: MSRs keep their values (APM vol. 2, 14.1.3); a guest that it was
    /// running is gone. The policy `init-msr` decides about RMPOPT_BASE and the
    /// table.
    void init_thread(unsigned thread);

    /// Machine reset: registers, tables, RMP registers back to what power-on leaves.
    void reset();

  private:
    /// To be called before the RMP stops to say which pages are a guest's.
    void conceal_guests() const;

    /// RMPOPT_BASE 0 and an empty table, as after power-on.
    static void reset_rmpopt(core_state &core);

    settings settings_;
    std::mutex rmp_lock_;
    rmp_table rmp_;
    counter_set counters_;
    std::unique_ptr<core_state[]> cores_;
    std::unique_ptr<thread_state[]> threads_;
    /// Logical CPUs with pages in use. Changed under the RMP lock, read without it. A CPU's slots
    /// are filled before it is counted and emptied after.
    std::atomic<unsigned> guests_running_{0};
    iommu_state iommu_;
    std::atomic<bool> snp_initialised_{false};
    std::array<std::uint64_t, rmp_entry::asid_limit> keys_{}; ///< by ASID
    spa_t last_update_range_ = 0;                             ///< 2 MB range of the last RMPUPDATE
};

} // namespace rmpopt::hw
