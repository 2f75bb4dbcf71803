// SPDX-License-Identifier: GPL-2.0-or-later
// RMP checks of the SVM instructions. Source: APM vol. 2, 15.36.10 (table 15-41). All look at the
// core's SNP_EN first and take every page as 4 KB.
//
// Not checked, since hardware only reads them: nCR3, the I/O and MSR permission maps, the AVIC
// logical and physical tables. Not here: a VMSAVE that a guest executes virtualised is an ordinary
// write of that guest (rmp_check()); VM_HSAVE_PA is a WRMSR (wrmsr()).
//
// Thread-safety: any thread at any time, no lock; like rmp_check(), racing changes of an entry are
// seen or not.
#pragma once

#include "hw-model/insn/host_insn.h"
#include "hw-model/machine/machine.h"

#include <optional>

namespace rmpopt::hw
{

/// The VMCB of VMRUN and the target of VMSAVE in hypervisor mode must be hypervisor-owned: #GP(0)
/// or none. `vmcb` is 4 KB aligned; its alignment and width are SVM's own checks.
fault vmcb_check(const machine &m, unsigned thread, spa_t vmcb) noexcept;

/// The VMSA of an SNP guest's VMRUN.
struct snp_vmsa {
    spa_t spa = 0;
    std::uint32_t asid = 0;
    std::uint64_t gpa = 0;
};

/// The pages that a VMCB names, as far as VMRUN checks them.
struct vmrun_pages {
    std::optional<spa_t> avic_backing{};
    std::optional<spa_t> nonsnp_vmsa{}; ///< of an SEV-ES guest without SNP
    std::optional<snp_vmsa> vmsa{};
    bool snp_active = false; ///< SEV_FEATURES bit 0: an SNP guest
};

/// False: VMRUN ends with VMEXIT_INVALID.
bool vmrun_pages_valid(const machine &m, unsigned thread, const vmrun_pages &pages) noexcept;

} // namespace rmpopt::hw
