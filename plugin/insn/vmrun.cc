// SPDX-License-Identifier: GPL-2.0-or-later
// VMRUN (0F 01 D8): the RMP checks of the pages that the VMCB names; then QEMU executes it. Guests
// with encrypted memory are not emulated: their VMRUN fails as one with a bad VMCB does.
#include "insn/dispatch.h"
#include "base/log.h"
#include "instrument/tlb_hooks.h"
#include "enforce/svm_guest.h"

#include <fmt/format.h>

namespace rmpopt
{

namespace
{

/// Why VMRUN ends with VMEXIT_INVALID before the guest runs; nullptr when it does not.
const char *reason_to_fail(const vmcb_view &v, unsigned thread)
{
    if (!hw::vmrun_pages_valid(the_context->machine(), thread, v.pages)) {
        return "an RMP check of its pages fails";
    }
    return v.sev || v.sev_es ? "guests with encrypted memory are not emulated" : nullptr;
}

/// True when VMRUN fails; the VMCB says so.
bool fails(const vcpu &cpu, hw::spa_t vmcb)
{
    const hw::memory_view &memory = the_context->machine().memory();
    const vmcb_view v = read_vmcb(memory, vmcb);
    const char *reason = reason_to_fail(v, cpu.index());
    if (reason == nullptr) {
        guest_may_start(cpu, vmcb, v.held);
        tlb_hooks::guest_starts(cpu, v.asid, v.tlb_control);
        return false;
    }
    static std::atomic<unsigned> logged{0};
    if (logged.fetch_add(1, std::memory_order_relaxed) < 100) {
        log("vCPU {}: VMRUN of the VMCB at {:#x} ends with VMEXIT_INVALID: {}", cpu.index(), vmcb,
            reason);
    }
    write_vmexit_invalid(memory, vmcb);
    return true;
}

} // namespace

void emulate_vmrun(const insn_event &event)
{
    const hw::spa_t vmcb = event.reg(rax);
    const hw::memory_view &memory = the_context->machine().memory();
    if (!is_host_svm_insn(event.cpu, vmcb) || memory.at(vmcb, hw::page_4k) == nullptr) {
        return; // QEMU's own checks raise what is due
    }
    if (hw::vmcb_check(the_context->machine(), event.cpu.index(), vmcb) != hw::fault::none) {
        raise(event, hw::fault::gp0);
    }
    if (fails(event.cpu, vmcb)) {
        complete(event);
    }
}

} // namespace rmpopt
