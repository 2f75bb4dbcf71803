// SPDX-License-Identifier: GPL-2.0-or-later
// Delivers the exceptions that the RMP raises, with exact error code, CR2 and RIP, and tells the
// listener.
#pragma once

#include "events/listener.h"
#include "qemu/vcpu.h"

namespace rmpopt
{

/// Tells the listener of a denied access. The vCPU's state must be exact.
void tell_denied(const vcpu &cpu, const denied_access &access);

/// Delivers #PF with CR2 = `access.address` at the instruction whose generated code returns to `ra`
/// (0: after synchronise(), or while the CPU delivers an event). Its error code is P, the W, U and
/// I/D bits in `access.code`, and the bits of the verdict.
[[noreturn]] void deliver_page_fault(const vcpu &cpu, denied_access access, std::uintptr_t ra);

/// To be called after the delivery of any exception, before its handler's first instruction.
void finish_page_fault(const vcpu &cpu);

} // namespace rmpopt
