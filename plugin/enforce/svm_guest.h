// SPDX-License-Identifier: GPL-2.0-or-later
// Guests of the emulated host: which VMCB each vCPU runs, which pages are in use by it, and the
// #VMEXIT that an RMP violation of a guest causes.
#pragma once

#include "hw-model/access/rmp_check.h"
#include "hw-model/insn/svm_check.h"
#include "qemu/tlb_fill.h"
#include "qemu/vcpu.h"
#include "x86/page_tables.h"

namespace rmpopt
{

/// True when the host executes the SVM instruction whose operand is the page at `spa`, and the
/// instruction passes the checks that QEMU makes itself: SVME, privilege, alignment.
bool is_host_svm_insn(const vcpu &cpu, hw::spa_t spa);

/// The fields of a VMCB that concern the RMP.
struct vmcb_view {
    bool sev = false;    ///< any kind of encrypted guest
    bool sev_es = false; ///< its registers are in a VMSA
    std::uint16_t asid = 0;
    std::uint8_t tlb_control = 0;
    hw::vmrun_pages pages;
    hw::pages_in_use held; ///< pages in use while the guest runs
};

/// Reads the VMCB at `vmcb`, which is RAM and 4 KB aligned.
vmcb_view read_vmcb(const hw::memory_view &memory, hw::spa_t vmcb);

/// Notes that VMRUN of `vmcb` has passed its checks and that QEMU is about to execute it on the
/// current vCPU. From now on its pages are in use. The caller must have held the RMP lock since
/// before the checks, so that every RMPUPDATE either precedes them or finds the pages in use.
void guest_starts(const vcpu &cpu, hw::spa_t vmcb, const hw::pages_in_use &held);

/// True when the model knows whether a running guest uses a page of [spa, spa + bytes). To be
/// called on a vCPU's thread before RMPUPDATE and PSMASH, without the RMP lock. If it returns
/// false, the model will know once all vCPUs have been stopped, and the instruction must then be
/// executed again.
///
/// QEMU notifies nobody of a #VMEXIT, so for the model the pages stay in use. QEMU's own flag for a
/// running guest is set some time after VMRUN's checks and cleared some time before the last write
/// to the VMCB. It is exact only while no vCPU executes anything.
bool is_use_certain(hw::spa_t spa, std::uint64_t bytes);

/// True when a running guest uses the page, by QEMU's own flag. That is exact enough for a store of
/// the host: one that races with VMRUN or #VMEXIT may as well have come before VMRUN or after the
/// #VMEXIT.
bool is_in_running_guest(hw::spa_t page);

/// Writes to the VMCB what a #VMEXIT with VMEXIT_INVALID leaves there.
void write_vmexit_invalid(const hw::memory_view &memory, hw::spa_t vmcb);

/// Delivers #VMEXIT(NPF) for the guest's access, with the error bits of `verdict` in EXITINFO1.
[[noreturn]] void deliver_nested_fault(const translation &access, const hw::rmp_verdict &verdict,
                                       std::uintptr_t ra);
/// The same when the page walk for the access could not update the table at `table`.
[[noreturn]] void deliver_nested_walk_fault(const translation &access, hw::spa_t table,
                                            const hw::rmp_verdict &verdict, std::uintptr_t ra);

/// To be called at machine reset.
void forget_guests();

} // namespace rmpopt
