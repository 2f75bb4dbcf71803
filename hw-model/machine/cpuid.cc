// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/machine/cpuid.h"

#include <algorithm>

namespace rmpopt::hw
{

namespace
{

constexpr std::uint32_t max_extended_leaf = 0x80000000, svm_leaf = 0x8000000a,
                        encryption_leaf = 0x8000001f, rmp_leaf = 0x80000025;

// 8000_000A EDX: NPT, LBRV, NRIPS, FLUSHBYASID, DECODEASSISTS; KVM refuses SEV without them.
constexpr std::uint32_t svm_features = 1u << 0 | 1u << 1 | 1u << 3 | 1u << 6 | 1u << 7;
/// Real parts report 32768 ASIDs; KVM needs more than the SEV ones.
constexpr std::uint32_t svm_asids = 0x8000;

// 8000_001F EAX.
constexpr std::uint32_t sme = 1u << 0, sev = 1u << 1, page_flush_msr = 1u << 2, sev_es = 1u << 3,
                        sev_snp = 1u << 4, vmpl = 1u << 5, hw_coherency = 1u << 10,
                        rmpread = 1u << 21, segmented_rmp = 1u << 23;

/// The C-bit costs address bits only where the guest sees the full 52.
std::uint32_t address_reduction(const machine &m)
{
    return m.phys_bits() >= 52 ? 5 : 0;
}

cpuid_regs encryption_regs(const machine &m)
{
    const cpu_model &p = m.cpu();
    cpuid_regs r;
    r.eax = sme | sev | page_flush_msr | sev_es | sev_snp | vmpl | hw_coherency |
            (p.rmpread ? rmpread : 0) | (p.segmented_rmp ? segmented_rmp : 0);
    r.ebx = c_bit_position | address_reduction(m) << 6 | vmpls << 12;
    r.ecx = p.asids;
    r.edx = p.min_sev_asid;
    return r;
}

cpuid_regs rmp_regs(const machine &m)
{
    constexpr std::uint32_t hard_limit = 1u << 10;
    cpuid_regs r;
    if (m.cpu().segmented_rmp) {
        const unsigned unit = m.choices().segment_unit == choice::segment_unit::mb ? 20 : 0;
        r.eax = (rmp_segment_shift_min - unit) | (rmp_segment_shift_max - unit) << 6;
        r.ebx = m.cpu().cacheable_segments | (m.cpu().rst_hard_limit ? hard_limit : 0);
    }
    r.edx = m.cpu().rmpopt ? 1 : 0;
    return r;
}

} // namespace

bool is_modelled_leaf(std::uint32_t leaf)
{
    return leaf == max_extended_leaf || leaf == svm_leaf || leaf == encryption_leaf ||
           leaf == rmp_leaf;
}

void adjust_cpuid(const machine &m, std::uint32_t leaf, cpuid_regs &regs)
{
    switch (leaf) {
    case max_extended_leaf:
        regs.eax = std::max(regs.eax, rmp_leaf);
        break;
    case svm_leaf:
        regs.ebx = svm_asids;
        regs.edx |= svm_features;
        break;
    case encryption_leaf:
        regs = encryption_regs(m);
        break;
    case rmp_leaf:
        regs = rmp_regs(m);
        break;
    default:
        break;
    }
}

} // namespace rmpopt::hw
