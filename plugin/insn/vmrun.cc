// SPDX-License-Identifier: GPL-2.0-or-later
// VMRUN (0F 01 D8): the RMP checks of the pages that the VMCB names. QEMU then executes the
// instruction. Guests with encrypted memory are not emulated: their VMRUN fails as with a bad VMCB.
#include "enforce/svm_guest.h"
#include "insn/dispatch.h"

namespace rmpopt
{

namespace
{

/// Why VMRUN ends with VMEXIT_INVALID before the guest runs; nullptr when it does not.
const char *reason_to_fail(const insn_event &event, const vmcb_view &v)
{
    if (!hw::vmrun_pages_valid(event.machine(), event.cpu.index(), v.pages)) {
        return "an RMP check of its pages fails";
    }
    return v.sev || v.sev_es ? "guests with encrypted memory are not emulated" : nullptr;
}

} // namespace

void emulate_vmrun(const insn_event &event)
{
    const hw::spa_t vmcb = event.reg(rax);
    const hw::memory_view &memory = event.machine().memory();
    if (!is_host_svm_insn(event.cpu, vmcb) || memory.at(vmcb, hw::page_4k) == nullptr) {
        return; // QEMU's own checks raise what is due
    }
    raise_any(event, hw::vmcb_check(event.machine(), event.cpu.index(), vmcb));
    const vmcb_view v = read_vmcb(memory, vmcb);
    const char *reason = reason_to_fail(event, v);
    if (reason == nullptr) {
        guest_may_start(event.cpu, vmcb, v.held);
    } else {
        write_vmexit_invalid(memory, vmcb);
    }
    event.heard().vmrun({.cpu = event.cpu.index(),
                         .vmcb = vmcb,
                         .asid = v.asid,
                         .tlb_control = v.tlb_control,
                         .failed = reason});
    if (reason != nullptr) {
        complete(event);
    }
}

} // namespace rmpopt
