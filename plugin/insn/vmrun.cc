// SPDX-License-Identifier: GPL-2.0-or-later
// VMRUN (0F 01 D8): makes the RMP checks of the pages that the VMCB names, then has QEMU execute
// the instruction. What is different for a guest with encrypted memory is in sev/.
#include "enforce/svm_guest.h"
#include "insn/dispatch.h"
#include "qemu/svm.h"
#include "sev/encrypted_guest.h"

namespace rmpopt
{

namespace
{

/// Why VMRUN ends with VMEXIT_INVALID before the guest runs; nullptr if the guest may run.
const char *reason_to_fail(const insn_event &event, const vmcb_view &v)
{
    if (!hw::vmrun_pages_valid(event.machine(), event.cpu.index(), v.pages)) {
        return "an RMP check of its pages fails";
    }
    return v.sev || v.sev_es ? reason_against(event.cpu, v) : nullptr;
}

struct decision {
    hw::fault fault = hw::fault::none;
    const char *failed = nullptr; ///< why VMRUN ends with VMEXIT_INVALID
    vmcb_view view{};
};

/// Makes the checks and notes which pages are in use, in one step as seen by the RMPUPDATEs of
/// other CPUs.
decision decide(const insn_event &event, hw::spa_t vmcb)
{
    hw::machine &m = event.machine();
    const std::scoped_lock lock(m.rmp_lock());
    decision d{.fault = hw::vmrun_check(m, event.cpu.index(), vmcb)};
    if (d.fault != hw::fault::none) {
        return d;
    }
    d.view = read_vmcb(m.memory(), vmcb);
    d.failed = reason_to_fail(event, d.view);
    if (d.failed == nullptr) {
        guest_starts(event.cpu, vmcb, d.view.held);
    } else {
        write_vmexit_invalid(m.memory(), vmcb);
    }
    return d;
}

} // namespace

void emulate_vmrun(insn_event event)
{
    const hw::spa_t vmcb = event.reg(rax);
    if (!is_host_svm_insn(event.cpu, vmcb) ||
        event.machine().memory().at(vmcb, hw::page_4k) == nullptr) {
        return; // QEMU's own checks raise the exception
    }
    const decision d = decide(event, vmcb);
    raise_any(event, d.fault);
    event.heard().vmrun(
        {.cpu = event.cpu.index(),
         .vmcb = vmcb,
         .asid = d.view.asid,
         .tlb_control = d.view.tlb_control,
         .guest = d.view.pages.snp_active ? hw::initiator::snp_guest : hw::initiator::nonsnp_guest,
         .failed = d.failed});
    if (d.failed != nullptr) {
        complete(event);
    }
    synchronise(event);
    if (d.view.sev) {
        enter_encrypted_guest(event.cpu, vmcb, d.view);
    }
    svm::vmrun(event.cpu, event.length);
}

} // namespace rmpopt
