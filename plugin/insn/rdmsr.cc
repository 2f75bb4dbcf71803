// SPDX-License-Identifier: GPL-2.0-or-later
// RDMSR (0F 32) of the registers that the model holds.
#include "hw-model/guest/guest_msr.h"
#include "hw-model/machine/msr.h"
#include "insn/dispatch.h"
#include "sev/encrypted_guest.h"
#include "x86/vmcb.h"

namespace rmpopt
{

namespace
{

[[noreturn]] void complete_with_value(const insn_event &event, std::uint64_t value)
{
    event.reg(rax) = static_cast<std::uint32_t>(value);
    event.reg(rdx) = value >> 32;
    complete(event);
}

/// Completes the read of a register that the guest's hypervisor has no part in; returns if it is
/// none.
void read_in_guest(const insn_event &event, std::uint32_t index)
{
    if (!runs_encrypted_guest(event.cpu)) {
        return;
    }
    const encrypted_guest &guest = encrypted_guest_of(event.cpu);
    const hw::guest_msr msr = hw::guest_msr_of(index, guest.es);
    if (msr == hw::guest_msr::none) {
        return;
    }
    if (event.cpu.cpl() != 0) {
        raise(event, hw::fault::gp0);
    }
    const std::uint64_t features =
        guest.es ? load_word(guest.vmsa + hw::vmsa_field::sev_features) : 0;
    complete_with_value(event, msr == hw::guest_msr::ghcb
                                   ? load_word(guest.vmcb + vmcb_field::ghcb)
                                   : hw::sev_status_of_guest(guest.es, features));
}

} // namespace

void emulate_rdmsr(const insn_event &event)
{
    const auto index = static_cast<std::uint32_t>(event.reg(rcx));
    if (event.cpu.in_guest()) {
        read_in_guest(event, index);
        return;
    }
    if (!hw::is_modelled_msr(index) || !event.cpu.long_mode()) {
        return;
    }
    if (event.cpu.cpl() != 0) {
        raise(event, hw::fault::gp0);
    }
    std::uint64_t value = 0;
    const hw::msr_result r = hw::rdmsr(event.machine(), event.cpu.index(), index, value);
    event.heard().rdmsr(place_of(event), index, r);
    switch (r) {
    case hw::msr_result::pass:
        return;
    case hw::msr_result::gp0:
        raise(event, hw::fault::gp0);
    case hw::msr_result::done:
        break;
    }
    complete_with_value(event, value);
}

} // namespace rmpopt
