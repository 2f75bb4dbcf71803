// SPDX-License-Identifier: GPL-2.0-or-later
// QEMU's part of VMRUN and #VMEXIT: its functions for them, and the registers that it does not
// exchange there itself but that hardware exchanges for guests with encrypted registers.
//
// All functions are for the current vCPU, on its own thread, with its state exact (after
// vcpu::synchronise()).
#pragma once

#include "qemu/vcpu.h"
#include "x86/xsave_area.h"

#include <span>

namespace rmpopt::svm
{

/// QEMU's VMRUN of the VMCB in RAX by an instruction of `length` bytes. Returns only by entering
/// the guest, injecting an event into it, or with a #VMEXIT.
///
/// QEMU's own call of it leaves the vector of an injected interrupt behind, and delivers it a
/// second time when the vCPU is kicked before the guest's next exit (bugs.md).
[[noreturn]] void vmrun(const vcpu &cpu, unsigned length);

/// QEMU's VMLOAD and VMSAVE. To be called in hypervisor mode.
void vmload(const vcpu &cpu, hw::spa_t vmcb);
void vmsave(const vcpu &cpu, hw::spa_t vmcb);

/// Drops the vCPU's translations.
void flush_tlb(const vcpu &cpu);

/// All that XSAVE would store in the standard form, but with the x87 registers by their number.
void read_vectors(const vcpu &cpu, xsave::area &to);
/// What is read into `from` and then changed. A new PKRU takes effect when the TLB is flushed.
void write_vectors(const vcpu &cpu, const xsave::area &from);
/// Where PKRU is in it; empty if the CPU has no protection keys.
std::span<std::byte> pkru_in(const vcpu &cpu, xsave::area &area);
/// PKRU; 0 when CR4.PKE is clear, because then QEMU does not tell.
std::uint32_t pkru(const vcpu &cpu);

/// XCR0; nothing when CR4.OSXSAVE is clear, because then QEMU does not tell.
std::optional<std::uint64_t> xcr0(const vcpu &cpu);
/// True if it is a value that XSETBV takes.
bool is_valid_xcr0(const vcpu &cpu, std::uint64_t value);
/// Only with CR4.OSXSAVE set, and for a valid value.
void set_xcr0(const vcpu &cpu, std::uint64_t value);

/// MOV to a control register, without checks of privilege and intercepts. It may raise an
/// exception, which leaves by longjmp.
void set_cr(const vcpu &cpu, unsigned number, std::uint64_t value);
/// WRMSR of what ECX, EDX and EAX say, with QEMU's checks. May leave likewise.
void wrmsr(const vcpu &cpu);
/// CR3 as it is, without any check.
void set_cr3(const vcpu &cpu, std::uint64_t value);

/// Delivers an exception that pushes no error code. A fault on the way leaves by longjmp.
void deliver(const vcpu &cpu, int vector);
/// Pushes a value of 4 or 8 bytes on a stack that the CPU has just pushed something on. What would
/// go to a device is lost.
void push(const vcpu &cpu, std::uint64_t value, unsigned bytes);

} // namespace rmpopt::svm
