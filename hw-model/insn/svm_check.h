// SPDX-License-Identifier: GPL-2.0-or-later
// RMP checks of the SVM instructions. Source: APM vol. 2, 15.36.10 (table 15-41). They apply only
// where the core's SNP_EN is set, and treat every page as 4 KB.
//
// Pages that hardware only reads are not checked: nCR3, the I/O and MSR permission maps, the AVIC
// logical and physical tables. Two checks are elsewhere: a virtualised VMSAVE by a guest is an
// ordinary write of that guest (rmp_check()), and VM_HSAVE_PA is checked by WRMSR (wrmsr()).
//
// Thread-safety: callable from any thread at any time, without locks. As with rmp_check(), a change
// of an entry that races with a check may or may not be seen.
#pragma once

#include "hw-model/insn/host_insn.h"
#include "hw-model/machine/machine.h"

#include <optional>

namespace rmpopt::hw
{

/// The VMCB of VMRUN, and the target of VMSAVE in hypervisor mode, must be hypervisor-owned;
/// otherwise the result is #GP(0). `vmcb` must be 4 KB aligned: its alignment and width are SVM's
/// own checks.
fault vmcb_check(const machine &m, unsigned thread, spa_t vmcb) noexcept;

/// The same for VMRUN, which also needs a host save area: #GP(0) while VM_HSAVE_PA is 0 (AMD's
/// manual as quoted by V. Kuznetsov, 2021-06-28; KVM does so for nested guests).
fault vmrun_check(const machine &m, unsigned thread, spa_t vmcb) noexcept;

/// The VMSA of an SNP guest's VMRUN.
struct snp_vmsa {
    spa_t spa = 0;
    std::uint32_t asid = 0;
    std::uint64_t gpa = 0;
};

/// The pages named by a VMCB that VMRUN checks.
struct vmrun_pages {
    std::optional<spa_t> avic_backing{};
    std::optional<spa_t> nonsnp_vmsa{}; ///< of an SEV-ES guest without SNP
    std::optional<snp_vmsa> vmsa{};
    bool snp_active = false; ///< SEV_FEATURES bit 0: an SNP guest
};

/// When false, VMRUN ends with VMEXIT_INVALID.
bool vmrun_pages_valid(const machine &m, unsigned thread, const vmrun_pages &pages) noexcept;

} // namespace rmpopt::hw
