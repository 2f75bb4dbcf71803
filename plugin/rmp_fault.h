// SPDX-License-Identifier: GPL-2.0-or-later
// #PF with the RMP bit: finding out what the guest did when the host's MMU stopped it, and
// delivering the exception exactly.
#pragma once

#include "host_cpu.h"

namespace rmpopt
{

/// Error code of a write to a page that the RMP does not let the host write: P, W, RMP
/// (APM vol. 2, 15.36.10); U is added at CPL 3.
inline constexpr std::uint32_t pf_rmp_write = 1u << 31 | 1u << 1 | 1u << 0;

/// Before the guest runs. Takes SIGBUS over; what is not the guard's goes to the old handler.
void install_rmp_faults();

/// Lets the calling thread receive the guard's signal; QEMU starts its threads with it blocked.
void accept_rmp_faults();

/// Delivers #PF with CR2 = `address` at the instruction whose generated code returns to `ra` (0
/// after synchronise()).
[[noreturn]] void deliver_rmp_fault(const host_cpu &cpu, std::uint64_t address, std::uintptr_t ra);

} // namespace rmpopt
