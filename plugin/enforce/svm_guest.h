// SPDX-License-Identifier: GPL-2.0-or-later
// Guests of the emulated host: which VMCB each vCPU runs, which pages the model must hold for it,
// and the #VMEXIT by which the RMP stops a guest.
#pragma once

#include "hw-model/access/rmp_check.h"
#include "hw-model/insn/svm_check.h"
#include "qemu/tlb_fill.h"
#include "qemu/vcpu.h"
#include "x86/page_tables.h"

namespace rmpopt
{

/// True when an SVM instruction that names a page at `spa` is executed by the host and passes the
/// checks that QEMU makes itself: SVME, privilege, alignment.
bool is_host_svm_insn(const vcpu &cpu, hw::spa_t spa);

/// The fields of a VMCB that concern the RMP.
struct vmcb_view {
    bool sev = false;    ///< any kind of encrypted guest
    bool sev_es = false; ///< its registers are in a VMSA
    std::uint16_t asid = 0;
    std::uint8_t tlb_control = 0;
    hw::vmrun_pages pages;
    hw::pages_in_use held; ///< while the guest runs
};

/// Reads the VMCB at `vmcb`, which is RAM and 4 KB aligned.
vmcb_view read_vmcb(const hw::memory_view &memory, hw::spa_t vmcb);

/// VMRUN of `vmcb` has passed its checks and is about to be executed by QEMU on the current vCPU.
/// From now on its pages are in use. The caller has held the RMP lock since before the checks, so
/// that an RMPUPDATE comes before the checks or finds the pages in use.
void guest_starts(const vcpu &cpu, hw::spa_t vmcb, const hw::pages_in_use &held);

/// True when the model knows whether a running guest uses a page of [spa, spa + bytes). To be asked
/// on a vCPU's thread before RMPUPDATE and PSMASH, without the RMP lock. When false, the model will
/// know as soon as no vCPU executes anything, and the instruction must be executed again.
///
/// QEMU calls nobody at #VMEXIT, so the model goes on counting the pages as in use. QEMU's own flag
/// for a running guest is set some time after VMRUN's checks and cleared some time before the last
/// write to the VMCB. It is exact only while no vCPU executes anything.
bool is_use_certain(hw::spa_t spa, std::uint64_t bytes);

/// True when by QEMU's flag a running guest uses the page. For stores of the host: one that races
/// with VMRUN or #VMEXIT counts as before the one or after the other.
bool is_in_running_guest(hw::spa_t page);

/// Writes what a #VMEXIT with VMEXIT_INVALID leaves in the VMCB.
void write_vmexit_invalid(const hw::memory_view &memory, hw::spa_t vmcb);

/// #VMEXIT(NPF) for the guest's access, with the error bits of `verdict` in EXITINFO1.
[[noreturn]] void deliver_nested_fault(const translation &access, const hw::rmp_verdict &verdict,
                                       std::uintptr_t ra);
/// The same when the page walk for the access could not update the table at `table`.
[[noreturn]] void deliver_nested_walk_fault(const translation &access, hw::spa_t table,
                                            const hw::rmp_verdict &verdict, std::uintptr_t ra);

/// Machine reset.
void forget_guests();

} // namespace rmpopt
