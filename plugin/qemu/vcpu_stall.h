// SPDX-License-Identifier: GPL-2.0-or-later
// A vCPU that does nothing for a while, as if its hardware were busy.
#pragma once

#include "qemu/vcpu.h"

#include <cstdint>

namespace rmpopt
{

/// The current vCPU executes nothing for `ns` nanoseconds of the guest's clock; interrupts stay
/// pending. It begins when the vCPU leaves the block that it executes, and the caller must see to
/// that: continue_at() does it. To be called on the vCPU's thread, with a clock that counts
/// instructions.
void stall(const vcpu &cpu, std::uint64_t ns);

} // namespace rmpopt
