// SPDX-License-Identifier: GPL-2.0-or-later
// WRMSR (0F 30) of the registers that the model holds. The first WRMSR that sets EFER.LME also
// marks the moment when the BIOS has finished and the operating system takes over.
#include "enforce/enforcement.h"
#include "hw-model/base/x86_bits.h"
#include "hw-model/guest/guest_msr.h"
#include "hw-model/guest/vmexit.h"
#include "hw-model/machine/msr.h"
#include "insn/dispatch.h"
#include "qemu/svm.h"
#include "sev/encrypted_guest.h"
#include "x86/vmcb.h"

namespace rmpopt
{

namespace
{

constexpr std::uint32_t msr_efer = 0xc0000080;

hw::msr_result write(const insn_event &event, std::uint32_t index, std::uint64_t value)
{
    hw::machine &m = event.machine();
    const unsigned thread = event.cpu.index();
    const bool checked_before = m.snp_enabled(thread);
    hw::rmp_changes changes;
    const hw::msr_result r = hw::wrmsr(m, thread, index, value, changes);
    take_effect(changes);
    if (!checked_before && m.snp_enabled(thread)) {
        drop_translations();
    }
    event.heard().wrmsr(place_of(event), index, value, r, changes);
    return r;
}

/// Has QEMU write EFER, and leaves the guest after it.
[[noreturn]] void write_trapped_efer(insn_event event, std::uint64_t value)
{
    synchronise(event);
    svm::wrmsr(event.cpu);
    exit_behind(event, hw::exit_code::efer_write_trap, value);
}

/// Completes the write of a register that the hypervisor of a guest with encrypted memory has no
/// part in, or that it is told of afterwards; returns if it is none.
void write_in_guest(const insn_event &event, std::uint32_t index, std::uint64_t value)
{
    if (!runs_encrypted_guest(event.cpu)) {
        return;
    }
    const encrypted_guest &guest = encrypted_guest_of(event.cpu);
    if (index == msr_efer && event.cpu.cpl() == 0 &&
        traps_write(guest, hw::exit_code::efer_write_trap)) {
        write_trapped_efer(event, value);
    }
    const hw::guest_msr msr = hw::guest_msr_of(index, guest.es);
    if (msr == hw::guest_msr::none) {
        return;
    }
    if (event.cpu.cpl() != 0 || msr == hw::guest_msr::sev_status) {
        raise(event, hw::fault::gp0);
    }
    event.machine().memory().store(guest.vmcb + vmcb_field::ghcb, value);
    complete(event);
}

} // namespace

void emulate_wrmsr(const insn_event &event)
{
    const auto index = static_cast<std::uint32_t>(event.reg(rcx));
    const std::uint64_t value = static_cast<std::uint32_t>(event.reg(rax)) | event.reg(rdx) << 32;
    if (event.cpu.in_guest()) {
        write_in_guest(event, index, value);
        return;
    }
    if (index == msr_efer && (value & efer_lme) != 0) {
        event.env.enter_operating_system(static_cast<std::uint32_t>(event.reg(rsi)),
                                         static_cast<std::uint32_t>(event.reg(rbx)));
        return;
    }
    if (!event.cpu.long_mode()) {
        return;
    }
    if (index == msr_lstar && event.cpu.cpl() == 0) {
        event.heard().wrmsr(place_of(event), index, value, hw::msr_result::pass, {});
    }
    if (!hw::is_modelled_msr(index)) {
        return;
    }
    if (event.cpu.cpl() != 0) {
        raise(event, hw::fault::gp0);
    }
    switch (write(event, index, value)) {
    case hw::msr_result::pass:
        return;
    case hw::msr_result::gp0:
        raise(event, hw::fault::gp0);
    case hw::msr_result::done:
        complete(event);
    }
}

} // namespace rmpopt
