// SPDX-License-Identifier: GPL-2.0-or-later
// CPUID (0F A2). Emulates only the leaves that differ between the modelled CPU and QEMU's, and only
// in long mode. The BIOS and start-up code see QEMU's own answers, which agree in all that they
// use. CPUID also serialises, so it is a place where code that another CPU has changed must be new.
#include "hw-model/machine/cpuid.h"
#include "insn/xsave.h"
#include "qemu/stale_code.h"

namespace rmpopt
{

void emulate_cpuid(const insn_event &event)
{
    if (stale_code::drop_changed(event.cpu)) {
        execute_again(event);
    }
    const auto leaf = static_cast<std::uint32_t>(event.reg(rax));
    const auto subleaf = static_cast<std::uint32_t>(event.reg(rcx));
    const bool has_xsavec = tells_of_xsavec(leaf, subleaf);
    if (!(hw::is_modelled_leaf(leaf) || has_xsavec) || !event.cpu.long_mode() ||
        event.cpu.in_guest()) {
        return;
    }
    const cpuid_result qemus = event.cpu.native_cpuid(leaf, subleaf);
    hw::cpuid_regs r{.eax = qemus.eax, .ebx = qemus.ebx, .ecx = qemus.ecx, .edx = qemus.edx};
    hw::adjust_cpuid(event.machine(), leaf, r);
    if (has_xsavec) {
        add_xsavec(event.cpu, r);
    }
    event.reg(rax) = r.eax;
    event.reg(rbx) = r.ebx;
    event.reg(rcx) = r.ecx;
    event.reg(rdx) = r.edx;
    complete(event);
}

} // namespace rmpopt
