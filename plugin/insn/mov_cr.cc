// SPDX-License-Identifier: GPL-2.0-or-later
// MOV to control registers (0F 22) and from them (0F 20), by guests. QEMU executes them, but for
// what it does not know of guests with encrypted registers: the C-bit of CR3, and write traps. And
// for MOV to CR8 by any guest: QEMU's own aborts when a virtual interrupt is pending, because it
// does not take the lock that raising an interrupt needs.
#include "hw-model/base/x86_bits.h"
#include "hw-model/guest/vmexit.h"
#include "insn/dispatch.h"
#include "qemu/svm.h"
#include "sev/encrypted_guest.h"
#include "x86/vmcb.h"

namespace rmpopt
{

namespace
{

constexpr unsigned cr3 = 3, cr8 = 8;

/// True when the guest's hypervisor intercepts the access.
bool is_intercepted(const insn_event &event, std::uint64_t vector)
{
    const auto mask = event.machine().memory().load<std::uint16_t>(event.cpu.vmcb() + vector);
    return (mask.value_or(0) >> event.cr.cr & 1) != 0;
}

/// A bit that no CR3 may have, in long mode.
bool has_reserved_bits(const insn_event &event, std::uint64_t value)
{
    return event.cpu.long_mode() &&
           (value & ~(hw::c_bit | cr3_keep)) >> event.machine().phys_bits() != 0;
}

void write_cr3(const insn_event &event, encrypted_guest &guest, std::uint64_t value)
{
    const bool keeps = (event.cpu.paging().cr4 & cr4_pcide) != 0 && (value & cr3_keep) != 0;
    if (has_reserved_bits(event, value) || ((value & cr3_keep) != 0 && !keeps)) {
        raise(event, hw::fault::gp0);
    }
    guest.cr3_encrypted = (value & hw::c_bit) != 0;
    svm::set_cr3(event.cpu, value & ~(hw::c_bit | cr3_keep));
}

} // namespace

void emulate_mov_to_cr(insn_event event)
{
    const bool encrypted = runs_encrypted_guest(event.cpu);
    if (!event.cpu.in_guest() || (!encrypted && event.cr.cr != cr8) || event.cpu.cpl() != 0 ||
        is_intercepted(event, vmcb_field::cr_write_intercepts)) {
        return;
    }
    encrypted_guest &guest = encrypted_guest_of(event.cpu);
    std::uint64_t value = event.reg(static_cast<gpr>(event.cr.general));
    if (!event.cpu.code_64()) {
        value = static_cast<std::uint32_t>(value);
    }
    synchronise(event);
    if (encrypted && event.cr.cr == cr3) {
        write_cr3(event, guest, value);
    } else {
        svm::set_cr(event.cpu, event.cr.cr, value);
    }
    const std::uint64_t trap = hw::exit_code::cr0_write_trap + event.cr.cr;
    if (encrypted && traps_write(guest, trap)) {
        exit_behind(event, trap, value);
    }
    complete(event);
}

void emulate_mov_from_cr(const insn_event &event)
{
    if (event.cr.cr != cr3 || !runs_encrypted_guest(event.cpu) || event.cpu.cpl() != 0 ||
        is_intercepted(event, vmcb_field::cr_read_intercepts)) {
        return;
    }
    const std::uint64_t bit = encrypted_guest_of(event.cpu).cr3_encrypted ? hw::c_bit : 0;
    const std::uint64_t value = event.cpu.paging().cr3 | bit;
    event.reg(static_cast<gpr>(event.cr.general)) =
        event.cpu.code_64() ? value : static_cast<std::uint32_t>(value);
    complete(event);
}

} // namespace rmpopt
