// SPDX-License-Identifier: GPL-2.0-or-later
// Shared by the files of this folder, each of which emulates one instruction: it reads the
// operands, calls the model's function, makes the changes take effect, tells the listener, and
// completes the instruction. If an emulation returns, QEMU executes the instruction itself.
// Otherwise it ends in complete() or raise(), which do not return and run no destructors.
#pragma once

#include "events/listener.h"
#include "hw-model/machine/machine.h"
#include "insn/operand.h"
#include "measure/measure_request.h"
#include "perturb/stall_points.h"
#include "qemu/api.h"
#include "x86/address_form.h"
#include "x86/insn_match.h"

#include <functional>
#include <optional>
#include <span>

namespace rmpopt
{

/// What the instructions read and change. All of it must live until QEMU ends.
struct insn_environment {
    hw::machine *machine = nullptr;
    listener *heard = nullptr;
    bool enforces = true; ///< stores are checked against the RMP
    /// The status with which the next RMPUPDATE must fail without being executed, if there is one.
    std::function<std::optional<hw::rmp_status>()> rmpupdate_failure;
    /// Called when the boot CPU is about to set EFER.LME, with its RSI and RBX.
    std::function<void(std::uint32_t rsi, std::uint32_t rbx)> enter_operating_system;
    /// Called after synchronise() when the guest asks for another measurement mode. The caller then
    /// leaves the block.
    std::function<void(measure_request to)> set_measure;
    /// Called when the guest says that its work is done.
    std::function<void()> end_run;
    stall_points *points = nullptr; ///< nullptr: CPUs do not stall
    /// Called when a CPU is about to execute an instruction that is one of `points`. Returns for
    /// how long it has to stall first.
    std::function<stall_time(std::uint64_t address, unsigned cpu)> reach_code{};
};

/// Starts to emulate instructions. To be called on vCPU 0's thread before the guest's first
/// instruction.
void start_emulation(const insn_environment &e);
/// nullptr before start_emulation().
const insn_environment *emulation_environment();

/// One execution of an emulated instruction.
struct insn_event {
    const insn_environment &env;
    vcpu cpu;
    std::uint8_t length; ///< of the instruction
    mov_cr_operands cr;  ///< of MOV to and from control registers
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

/// The vCPU and RIP of the event, for the listener. Valid as long as the event lives.
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

/// What to register for an instruction.
struct emulation_callback {
    qemu_plugin_vcpu_udata_cb_t function =
        nullptr; ///< nullptr: QEMU executes it without the plugin
    void *data = nullptr;
};
emulation_callback find_emulation(std::span<const std::uint8_t> bytes);

/// If QEMU makes the store of `insn` in several parts, tries all of it first, so that it faults
/// before any part is written. Returns true in that case. Called while QEMU translates.
bool watch_split_store(qemu_plugin_insn *insn, std::span<const std::uint8_t> code);

/// If `insn`, with the bytes `code`, drops translations and TLBs are modelled, tells the modelled
/// TLB each time it is executed. Returns true in that case. Called while QEMU translates.
bool watch_tlb_insn(qemu_plugin_insn *insn, std::span<const std::uint8_t> code);

/// If `insn` is a point at which CPUs may stall, counts each execution and lets them. Called while
/// QEMU translates, before anything else is registered for the instruction.
void watch_code_point(qemu_plugin_insn *insn);

/// The linear address of an instruction's memory operand. `rip` is needed only if `form` is
/// RIP-relative.
std::uint64_t address_of(const address_form &form, const vcpu &cpu, std::uint64_t rip);

// The ways to end an emulation.

/// Brings RIP, flags and all other vCPU state up to date. Must be called before a memory operand is
/// accessed; complete() and raise() do it themselves.
void synchronise(insn_event &event);

/// Continues after the instruction. Sets the arithmetic flags in `mask` to `flags`; all other flags
/// keep their exact values.
[[noreturn]] void complete(insn_event event, std::uint32_t flags = 0, std::uint32_t mask = 0);
/// As exit_encrypted_guest() (sev/encrypted_guest.h), with the guest behind the instruction.
[[noreturn]] void exit_behind(insn_event event, std::uint64_t code, std::uint64_t info1 = 0);
/// Executes the instruction again, after the work that is queued until no vCPU executes anything.
[[noreturn]] void execute_again(insn_event event);
/// Continues after an RMP instruction with `status` in EAX and the flags in `mask` set accordingly.
[[noreturn]] void complete_with_status(const insn_event &event, hw::rmp_status status,
                                       std::uint32_t mask);
/// Continues after an RMP instruction that does not work in guest mode; returns outside it.
void refuse_in_guest(const insn_event &event, std::uint32_t mask);
/// Raises #UD or #GP(0) at the instruction; `f` must not be fault::none.
[[noreturn]] void raise(const insn_event &event, hw::fault f);
/// The same, but returns if there is no fault.
void raise_any(const insn_event &event, hw::fault f);
/// Raises the exception of an operand, if there is one. To be called after synchronise().
void raise_any(const insn_event &event, const operand_fault &bad);

void emulate_cpuid(const insn_event &event);
void emulate_rdmsr(const insn_event &event);
void emulate_wrmsr(const insn_event &event);
void emulate_rmpupdate(insn_event event);
void emulate_psmash(const insn_event &event);
void emulate_rmpread(insn_event event);
void emulate_rmpopt(const insn_event &event);
void emulate_vmrun(insn_event event);
void emulate_vmsave(const insn_event &event);
/// Only observes HLT; QEMU executes it.
void emulate_hlt(const insn_event &event);
void emulate_marker(insn_event event);
void emulate_vmgexit(insn_event event);
void emulate_pvalidate(insn_event event);
void emulate_rmpadjust(insn_event event);
void emulate_rmpquery(insn_event event);
void emulate_mov_to_cr(insn_event event);
void emulate_mov_from_cr(const insn_event &event);
void emulate_xsavec(insn_event event);
void emulate_xrstor(insn_event event);

} // namespace rmpopt
