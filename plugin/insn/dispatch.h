// SPDX-License-Identifier: GPL-2.0-or-later
// The instructions that the plugin executes instead of QEMU, one file for each; this header has
// what they share. A file reads operands, calls the model's function, makes its changes take
// effect, tells the listener, and completes. An emulation either returns, and then QEMU executes
// the instruction itself, or it ends in complete() or raise(), which do not return: nothing with a
// destructor may be alive then.
#pragma once

#include "events/listener.h"
#include "hw-model/machine/machine.h"
#include "insn/operand.h"
#include "measure/measure_request.h"
#include "qemu/api.h"
#include "x86/address_form.h"

#include <functional>
#include <optional>
#include <span>

namespace rmpopt
{

/// What the instructions work on. Everything must live until QEMU ends.
struct insn_environment {
    hw::machine *machine = nullptr;
    listener *heard = nullptr;
    bool enforces = true; ///< stores are checked
    /// What an RMPUPDATE fails with instead of being executed; nothing: it is executed.
    std::function<std::optional<hw::rmp_status>()> rmpupdate_failure;
    /// The boot CPU is about to set EFER.LME, with these values in RSI and RBX.
    std::function<void(std::uint32_t rsi, std::uint32_t rbx)> enter_operating_system;
    /// The guest asks for stores to be counted. The caller leaves the block, after synchronise().
    std::function<void(measure_request to)> set_measure;
};

/// From now on instructions are emulated. On vCPU 0's thread before the guest's first instruction.
void start_emulation(const insn_environment &e);
/// nullptr until then.
const insn_environment *emulation_environment();

/// One execution.
struct insn_event {
    const insn_environment &env;
    vcpu cpu;
    std::uint8_t length; ///< of the instruction
    std::uintptr_t ra;   ///< return address into the generated code; 0 once synchronised

    hw::machine &machine() const { return *env.machine; }
    listener &heard() const { return *env.heard; }
    std::uint64_t &reg(gpr r) const { return cpu.reg(r); }
    hw::insn_context model_context() const
    {
        return {.thread = cpu.index(),
                .cpl = cpu.cpl(),
                .long_mode = cpu.code_64(),
                .guest_mode = cpu.in_guest()};
    }
};

/// Where the guest is, for those who are told; as long as the event lives.
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

/// If QEMU makes the store of `insn` in several parts, tries all of it first, so that it faults
/// before any part is written. Returns true in that case. Called while QEMU translates.
bool watch_split_store(qemu_plugin_insn *insn, std::span<const std::uint8_t> code);

/// If `insn`, with the bytes `code`, drops translations and TLBs are modelled, tells the modelled
/// TLB each time it is executed. Returns true in that case. Called while QEMU translates.
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
/// Executes the instruction once more, after work that waits until no vCPU executes anything.
[[noreturn]] void execute_again(insn_event event);
/// Continues after an RMP instruction: EAX and those of the flags that follow from it in `mask`.
[[noreturn]] void complete_with_status(const insn_event &event, hw::rmp_status status,
                                       std::uint32_t mask);
/// #UD or #GP(0) at the instruction; `f` is not fault::none.
[[noreturn]] void raise(const insn_event &event, hw::fault f);
/// The same, unless there is no fault.
void raise_any(const insn_event &event, hw::fault f);
/// The exception of an operand, if there is one; after synchronise().
void raise_any(const insn_event &event, const operand_fault &bad);

void emulate_cpuid(const insn_event &event);
void emulate_rdmsr(const insn_event &event);
void emulate_wrmsr(const insn_event &event);
void emulate_rmpupdate(insn_event event);
void emulate_psmash(const insn_event &event);
void emulate_rmpread(insn_event event);
void emulate_rmpopt(const insn_event &event);
void emulate_vmrun(const insn_event &event);
void emulate_vmsave(const insn_event &event);
/// Only observes; QEMU executes the instruction.
void emulate_hlt(const insn_event &event);
void emulate_marker(insn_event event);

} // namespace rmpopt
