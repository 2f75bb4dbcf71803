// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/machine/msr.h"

#include "hw-model/machine/cpuid.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <span>

namespace rmpopt::hw
{

namespace
{

constexpr std::uint64_t rmp_address_mask = ((1ull << 52) - 1) & ~rmp_end_low_bits; // [51:13]

/// What lies where in memory: MTRRfix64K, MTRRfix16K and MTRRfix4K, eight pairs of variable MTRRs,
/// MTRRdefType (APM vol. 2, 7.7.2), IORRs, TOP_MEM and TOP_MEM2 (7.9).
constexpr std::array<std::uint32_t, memory_msr_count> memory_msrs{
    0x250, 0x258,      0x259,      0x268,      0x269,      0x26a,        0x26b,        0x26c, 0x26d,
    0x26e, 0x26f,      0x200,      0x201,      0x202,      0x203,        0x204,        0x205, 0x206,
    0x207, 0x208,      0x209,      0x20a,      0x20b,      0x20c,        0x20d,        0x20e, 0x20f,
    0x2ff, 0xc0010016, 0xc0010017, 0xc0010018, 0xc0010019, msr::top_mem, msr::top_mem2};
constexpr std::size_t fixed_mtrrs = 11; ///< come first

bool is_fixed_mtrr(std::uint32_t index)
{
    const std::span fixed = std::span(memory_msrs).first(fixed_mtrrs);
    return std::ranges::find(fixed, index) != fixed.end();
}

/// INIT leaves MTRRs as they are (APM vol. 2, 14.1.3). QEMU's do not survive it, and a kernel that
/// puts them right when a CPU comes back online would run into the lock. So what software writes is
/// kept here; only SNP_INIT depends on it. nullptr for other registers.
template <class Thread> auto *kept_msr(Thread &cpu, std::uint32_t index)
{
    const auto *const found = std::ranges::find(memory_msrs, index);
    return found == memory_msrs.end() ? nullptr : &cpu.memory_msrs[found - memory_msrs.begin()];
}

/// Registers that SNP_EN locks (APM vol. 2, 15.36.2); apart from RMP_CFG the emulator holds them.
bool is_locked_by_snp(std::uint32_t index)
{
    return is_fixed_mtrr(index) || (index >= msr::iorr_first && index <= msr::iorr_last) ||
           index == msr::top_mem || index == msr::top_mem2 || index == msr::smm_key;
}

/// A write that is not allowed: #GP(0), or ignored.
template <class Choice> msr_result refused(Choice c)
{
    return c == Choice::gp ? msr_result::gp0 : msr_result::done;
}

rmp_config config_of(const core_state &core)
{
    rmp_config c;
    c.base = core.rmp_base;
    if ((core.rmp_cfg & rmp_cfg_seg_en) != 0) {
        c.layout = rmp_layout::segmented;
        c.segment_shift = rmp_cfg_shift(core.rmp_cfg);
    } else if (core.rmp_base != 0 && core.rmp_end > core.rmp_base) {
        c.layout = rmp_layout::contiguous;
        c.end = core.rmp_end;
    }
    return c;
}

void report_assigned(const rmp_table &rmp, rmp_changes &changes)
{
    rmp.for_each_assigned([&](spa_t spa) { changes.add(spa, page_4k, false); });
}

/// When the RMP is segmented, SNP_EN demands an RMP_BASE at a 1 MB boundary; a CPU that cannot read
/// segment definitions later (CPUID 8000_0025 EBX[10]) also demands that all of them are valid (APM
/// vol. 2, 15.36.2 and 15.36.22.3).
bool rmp_is_acceptable(const machine &m, const core_state &core)
{
    if ((core.rmp_cfg & rmp_cfg_seg_en) == 0) {
        return true;
    }
    return is_aligned(core.rmp_base, rmp_alignment) &&
           (!m.cpu().rst_hard_limit ||
            rmp_table::segments_fit(m.memory(), config_of(core), m.rst_view()));
}

/// RMP lock held.
msr_result set_snp_en(machine &m, unsigned thread, bool vmpl_en, rmp_changes &changes)
{
    core_state &core = m.core_of(thread);
    if (!rmp_is_acceptable(m, core)) {
        return msr_result::gp0;
    }
    if (!m.snp_enabled_somewhere()) {
        m.configure_rmp(config_of(core));
        // No RMPUPDATE told the tables what was written to the RMP while nothing was checked. What
        // hardware does until SNP_INIT zeroes them is not documented; a bit must not outlive this.
        m.clear_rmpopt_tables();
        report_assigned(m.rmp(), changes);
    }
    core.vmpl_en = vmpl_en;
    core.snp_en.store(true, std::memory_order_release);
    return msr_result::done;
}

/// Once SNP_EN is set, writes to SYSCFG are ignored without a fault (APM vol. 2, 15.36.2).
msr_result write_syscfg(machine &m, unsigned thread, std::uint64_t value, rmp_changes &changes)
{
    const std::scoped_lock lock(m.rmp_lock());
    if (m.snp_enabled(thread)) {
        return msr_result::done;
    }
    if ((value & syscfg_snp_en) != 0) {
        const msr_result r = set_snp_en(m, thread, (value & syscfg_vmpl_en) != 0, changes);
        if (r != msr_result::done) {
            return r;
        }
    }
    m.thread(thread).syscfg = value & ~(syscfg_snp_en | syscfg_vmpl_en);
    return msr_result::done;
}

msr_result write_rmp_bound(machine &m, unsigned thread, std::atomic<std::uint64_t> &bound,
                           std::uint64_t value)
{
    const std::scoped_lock lock(m.rmp_lock());
    if (m.snp_enabled(thread)) {
        return refused(m.choices().rmp_msr_locked);
    }
    bound = value;
    return msr_result::done;
}

/// RMP_CFG is locked by SNP_EN; bits 63:14 and 7:1 must be zero, and a segment size outside CPUID
/// 8000_0025's limits raises #GP(0) (APM vol. 2, 15.36.22.2).
msr_result write_rmp_cfg(machine &m, unsigned thread, std::uint64_t value)
{
    const std::scoped_lock lock(m.rmp_lock());
    if (!m.cpu().segmented_rmp || m.snp_enabled(thread)) {
        return msr_result::gp0;
    }
    if ((value & ~(rmp_cfg_seg_en | rmp_cfg_shift_bits)) != 0) {
        return msr_result::gp0;
    }
    const unsigned shift = rmp_cfg_shift(value);
    if ((value & rmp_cfg_seg_en) != 0 &&
        (shift < rmp_segment_shift_min || shift > rmp_segment_shift_max)) {
        return msr_result::gp0;
    }
    m.core_of(thread).rmp_cfg = value;
    return msr_result::done;
}

/// RMPOPT_BASE can be written only while SNP_EN is set, and enabled only if the RMP is segmented
/// (AMD, 2026-06-19). Once enabled it stays as it is until SNP is disabled (Linux 7.4, x86/sev).
msr_result write_rmpopt_base(machine &m, unsigned thread, std::uint64_t value)
{
    core_state &core = m.core_of(thread);
    if (!m.cpu().rmpopt) {
        return msr_result::gp0;
    }
    const std::uint64_t reserved = (region_1g - 1) & ~rmpopt_enable;
    if ((value & reserved) != 0 || value >> m.phys_bits() != 0) {
        if (m.choices().msr_reserved == choice::msr_reserved::gp) {
            return msr_result::gp0;
        }
        value &= ~reserved & ((1ull << m.phys_bits()) - 1);
    }
    const std::scoped_lock lock(m.rmp_lock());
    const bool enables = (value & rmpopt_enable) != 0;
    if (!core.snp_en.load() || (enables && (core.rmp_cfg & rmp_cfg_seg_en) == 0)) {
        return refused(m.choices().wrmsr_nosnp);
    }
    const bool changes_enabled = core.rmpopt.enabled() && value != core.rmpopt.msr();
    if (changes_enabled && m.choices().rmpopt_locked != choice::rmpopt_locked::allow) {
        return refused(m.choices().rmpopt_locked);
    }
    if (m.choices().msr_rewrite == choice::msr_rewrite::clear) {
        core.rmpopt.clear_all();
    }
    core.rmpopt.set_msr(value);
    return msr_result::done;
}

/// The host save area is a 4 KB page inside the physical address space (APM vol. 2, 15.30.4) and
/// must be hypervisor-owned (15.36.10); 0 means none and is always accepted. The value itself is
/// kept by the emulator, so an allowed write passes.
msr_result write_vm_hsave_pa(machine &m, unsigned thread, std::uint64_t value)
{
    if (!is_aligned(value, page_4k) || value >> m.phys_bits() != 0) {
        return msr_result::gp0;
    }
    if (value != 0 && m.snp_enabled(thread) && !m.rmp().load(value).host_writable()) {
        return msr_result::gp0;
    }
    m.thread(thread).vm_hsave_pa = value;
    return msr_result::pass;
}

/// VM_PAGE_FLUSH writes back a page that the cache holds for an ASID (Linux, KVM's SEV code:
/// address and ASID, and a fault is possible). No cache is modelled, so what is left are the ASIDs;
/// that those that no guest can have raise #GP(0) is assumed.
msr_result write_vm_page_flush(const machine &m, std::uint64_t value)
{
    const std::uint64_t asid = value & vm_page_flush_asid;
    return asid == 0 || asid > m.cpu().asids ? msr_result::gp0 : msr_result::done;
}

} // namespace

bool is_modelled_msr(std::uint32_t index)
{
    static constexpr std::array held{
        msr::syscfg,   msr::hwcr,    msr::vm_hsave_pa, msr::vm_page_flush, msr::sev_status,
        msr::rmp_base, msr::rmp_end, msr::rmp_cfg,     msr::rmpopt_base,
    };
    for (const std::uint32_t h : held) {
        if (h == index) {
            return true;
        }
    }
    return is_locked_by_snp(index) || std::ranges::find(memory_msrs, index) != memory_msrs.end();
}

std::optional<unequal_msr> unequal_memory_msr(const machine &m)
{
    for (std::size_t i = 0; i < memory_msrs.size(); ++i) {
        std::optional<unsigned> first;
        for (unsigned t = 0; t < m.cpus().threads(); ++t) {
            const written_msr &here = m.thread(t).memory_msrs[i];
            if (!here.written) {
                continue;
            }
            const std::uint64_t value = m.thread(first.value_or(t)).memory_msrs[i].value;
            if (here.value != value) {
                return unequal_msr{memory_msrs[i], *first, t, value, here.value};
            }
            first = first.value_or(t);
        }
    }
    return std::nullopt;
}

msr_result rdmsr(const machine &m, unsigned thread, std::uint32_t index, std::uint64_t &value)
{
    const core_state &core = m.core_of(thread);
    switch (index) {
    case msr::syscfg:
        value = m.thread(thread).syscfg | (core.snp_en.load() ? syscfg_snp_en : 0) |
                (core.vmpl_en ? syscfg_vmpl_en : 0);
        return msr_result::done;
    case msr::hwcr:
        value = m.thread(thread).hwcr;
        return msr_result::done;
    case msr::sev_status: // zero outside guests (APM vol. 2, 15.34.10)
        value = 0;
        return msr_result::done;
    case msr::vm_page_flush: // can only be written
        return msr_result::gp0;
    case msr::rmp_base:
        value = core.rmp_base;
        return msr_result::done;
    case msr::rmp_end:
        value = core.rmp_end;
        return msr_result::done;
    case msr::rmp_cfg:
        value = core.rmp_cfg;
        return m.cpu().segmented_rmp ? msr_result::done : msr_result::gp0;
    case msr::rmpopt_base:
        value = core.rmpopt.msr();
        return m.cpu().rmpopt ? msr_result::done : msr_result::gp0;
    default:
        if (const written_msr *kept = kept_msr(m.thread(thread), index);
            kept != nullptr && kept->written) {
            value = kept->value;
            return msr_result::done;
        }
        return msr_result::pass;
    }
}

msr_result wrmsr(machine &m, unsigned thread, std::uint32_t index, std::uint64_t value,
                 rmp_changes &changes)
{
    core_state &core = m.core_of(thread);
    switch (index) {
    case msr::syscfg:
        return write_syscfg(m, thread, value, changes);
    case msr::hwcr: // SmmLock can be set, not cleared (AMD PPR, MSRC001_0015)
        m.thread(thread).hwcr = value | (m.thread(thread).hwcr & hwcr_smmlock);
        return msr_result::done;
    case msr::sev_status:
        return msr_result::gp0;
    case msr::vm_page_flush:
        return write_vm_page_flush(m, value);
    case msr::rmp_base:
        return write_rmp_bound(m, thread, core.rmp_base, value & rmp_address_mask);
    case msr::rmp_end:
        return write_rmp_bound(m, thread, core.rmp_end,
                               (value & rmp_address_mask) | rmp_end_low_bits);
    case msr::rmp_cfg:
        return write_rmp_cfg(m, thread, value);
    case msr::rmpopt_base:
        return write_rmpopt_base(m, thread, value);
    case msr::vm_hsave_pa:
        return write_vm_hsave_pa(m, thread, value);
    default:
        if (m.snp_enabled(thread) && is_locked_by_snp(index)) {
            return msr_result::gp0;
        }
        if (written_msr *kept = kept_msr(m.thread(thread), index)) {
            kept->value = value;
            kept->written = true;
        }
        return msr_result::pass;
    }
}

} // namespace rmpopt::hw
