// SPDX-License-Identifier: GPL-2.0-or-later
// An instruction of the guest's kernel at which a CPU may stall.
#include "insn/dispatch.h"
#include "qemu/vcpu_stall.h"

namespace rmpopt
{

namespace
{

void on_code_point(unsigned, void *address)
{
    const auto ra = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
    const vcpu cpu = vcpu::current();
    if (cpu.cpl() != 0 || cpu.in_guest()) {
        return;
    }
    const stall_time time =
        emulation_environment()->reach_code(reinterpret_cast<std::uintptr_t>(address), cpu.index());
    if (time.ns != 0) {
        cpu.synchronise(ra);
        stall(cpu, time.ns, time.until_idle);
        vcpu::continue_at(cpu.rip());
    }
}

} // namespace

void watch_code_point(qemu_plugin_insn *insn)
{
    const stall_points *points = emulation_environment()->points;
    const std::uint64_t address = qemu_plugin_insn_vaddr(insn);
    if (points != nullptr && points->is_code(address)) {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_code_point, QEMU_PLUGIN_CB_RW_REGS_PC,
                                               reinterpret_cast<void *>(address));
    }
}

} // namespace rmpopt
