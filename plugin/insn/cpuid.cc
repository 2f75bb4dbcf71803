// SPDX-License-Identifier: GPL-2.0-or-later
// CPUID (0F A2). Emulates only the leaves that differ between the modelled CPU and QEMU's, and only
// in long mode. The BIOS and start-up code see QEMU's own answers, which agree in all that they
// use. CPUID also serialises, so it is a place where code that another CPU has changed must be new.
#include "hw-model/machine/cpuid.h"
#include "insn/xsave.h"
#include "qemu/stale_code.h"
#include "qemu/svm.h"

namespace rmpopt
{

namespace
{

/// Leaf 0Dh, subleaf 1, with XSAVEC: the bytes that it stores of all that is enabled.
void add_xsavec(const vcpu &cpu, hw::cpuid_regs &regs)
{
    constexpr std::uint32_t xsavec = 1u << 1;
    if (const xsave_layout *layout = emulated_xsavec(cpu)) {
        regs.eax |= xsavec;
        regs.ebx = static_cast<std::uint32_t>(
            layout->compacted_bytes(svm::xcr0(cpu).value_or(xsave::x87)));
    }
}

} // namespace

void emulate_cpuid(const insn_event &event)
{
    if (stale_code::drop_changed(event.cpu)) {
        execute_again(event);
    }
    const auto leaf = static_cast<std::uint32_t>(event.reg(rax));
    const auto subleaf = static_cast<std::uint32_t>(event.reg(rcx));
    const bool has_xsavec = leaf == 0xd && subleaf == 1;
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
