// SPDX-License-Identifier: GPL-2.0-or-later
// A vCPU that does nothing for a while, as if its hardware were busy, or takes no interrupts, as if
// they were late. All of it with a clock that counts instructions, on the vCPU's thread.
#pragma once

#include "qemu/vcpu.h"

#include <cstdint>

namespace rmpopt
{

/// The current vCPU executes nothing for `ns` nanoseconds of the guest's clock, or until all others
/// are idle if that is earlier and `until_idle`; interrupts stay pending. It begins when the vCPU
/// leaves the block that it executes, and the caller must see to that: continue_at() does it.
void stall(const vcpu &cpu, std::uint64_t ns, bool until_idle);

/// For that time the vCPU takes no interrupts, but executes on. A vCPU that waits for one in HLT
/// continues behind it, as after an SMI.
void hold_interrupts(const vcpu &cpu, std::uint64_t ns, bool until_idle);
bool holds_interrupts(const vcpu &cpu);

} // namespace rmpopt
