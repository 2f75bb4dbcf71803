// SPDX-License-Identifier: GPL-2.0-or-later
// The instructions that the plugin executes instead of QEMU. One file for each; this header has
// what they share. An emulation either returns, then QEMU executes the instruction itself, or it
// ends in complete() or raise(), which do not return: nothing with a destructor may be alive then.
#pragma once

#include "emulation.h"
#include "hw-model/insn/host_insn.h"
#include "insn/operand.h"
#include "qemu/api.h"
#include "x86/address_form.h"

#include <span>

namespace rmpopt
{

/// One execution.
struct insn_event {
    vcpu cpu;
    std::uint8_t length; ///< of the instruction
    std::uintptr_t ra;   ///< return address into the generated code; 0 once synchronised

    std::uint64_t &reg(gpr r) const { return cpu.reg(r); }
    hw::insn_context model_context() const
    {
        return {.thread = cpu.index(),
                .cpl = cpu.cpl(),
                .long_mode = cpu.code_64(),
                .guest_mode = cpu.in_guest()};
    }
};

/// Where the guest is, for the watch; as long as the event lives.
inline place place_of(const insn_event &event)
{
    return {.cpu = event.cpu.index(),
            .rip_of =
                [](const void *insn) {
                    const auto *e = static_cast<const insn_event *>(insn);
                    return e->ra == 0 ? e->cpu.rip() : e->cpu.rip_at(e->ra);
                },
            .insn = &event};
}

/// The callback to register for an instruction with these bytes, with the instruction's length as
/// its userdata; nullptr when QEMU should execute it alone.
qemu_plugin_vcpu_udata_cb_t find_emulation(std::span<const std::uint8_t> bytes);

/// Sees to it that the store of `insn`, if QEMU makes it in several parts, faults before any of
/// them; true if it does. While QEMU translates.
bool watch_split_store(qemu_plugin_insn *insn, std::span<const std::uint8_t> code);

/// Tells the modelled TLB when `insn`, with the bytes `code`, drops translations; true if it is one
/// that does and there is such a TLB. While QEMU translates.
bool watch_tlb_insn(qemu_plugin_insn *insn, std::span<const std::uint8_t> code);

/// The linear address of an operand of the instruction at `rip`, which only forms that are relative
/// to it need.
std::uint64_t address_of(const address_form &form, const vcpu &cpu, std::uint64_t rip);

// Ends of an emulation.

/// Brings RIP, flags and all else up to date; needed before a memory operand is touched. The ends
/// do it themselves.
void synchronise(insn_event &event);

/// Continues after the instruction with the arithmetic flags of `mask` changed to `flags`; the
/// others, and all with an empty mask, keep their exact values.
[[noreturn]] void complete(insn_event event, std::uint32_t flags = 0, std::uint32_t mask = 0);
/// Continues after an RMP instruction: EAX and those of the flags that follow from it in `mask`.
[[noreturn]] void complete_with_status(const insn_event &event, hw::rmp_status status,
                                       std::uint32_t mask);
/// #UD or #GP(0) at the instruction; `f` is not fault::none.
[[noreturn]] void raise(const insn_event &event, hw::fault f);
/// The exception of an operand, which is not kind::none; after synchronise().
[[noreturn]] void raise(const insn_event &event, const operand_fault &bad);

void emulate_cpuid(const insn_event &event);
void emulate_rdmsr(const insn_event &event);
void emulate_wrmsr(const insn_event &event);
void emulate_rmpupdate(insn_event event);
void emulate_psmash(const insn_event &event);
void emulate_rmpread(insn_event event);
void emulate_rmpopt(const insn_event &event);
void emulate_vmrun(const insn_event &event);
void emulate_vmsave(const insn_event &event);
/// Only looks; QEMU executes it.
void emulate_hlt(const insn_event &event);
void emulate_marker(insn_event event);

} // namespace rmpopt
