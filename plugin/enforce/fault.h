// SPDX-License-Identifier: GPL-2.0-or-later
// Delivering the exceptions that the RMP raises: exact error code, CR2 and RIP.
#pragma once

#include "qemu/vcpu.h"
#include "x86/bits.h"

namespace rmpopt
{

/// Counts a fault and, if it is one of the first, logs it.
void log_rmp_fault(const vcpu &cpu, std::uint64_t address, std::uint64_t error_code);

/// Delivers #PF with CR2 = `address` and an error code of P, RMP and the bits of `access` at the
/// instruction whose generated code returns to `ra` (0: after synchronise() or while the CPU
/// delivers an event).
[[noreturn]] void deliver_rmp_fault(const vcpu &cpu, std::uint64_t address,
                                    std::uint32_t access, std::uintptr_t ra);

/// After the delivery of any exception, before its handler's first instruction.
void finish_rmp_fault(const vcpu &cpu);

} // namespace rmpopt
