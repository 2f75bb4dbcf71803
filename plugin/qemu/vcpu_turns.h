// SPDX-License-Identifier: GPL-2.0-or-later
// When vCPUs take turns on one thread, with a clock that counts instructions.
#pragma once

#include <string>

namespace rmpopt
{

/// Makes the turns depend on the guest alone. QEMU's threads that reclaim memory (RCU) would
/// otherwise end a turn early, at a moment that the host decides; reclaiming now waits for the end
/// of the turn. On the thread that executes vCPUs. Returns an empty string, or what is unexpected.
std::string keep_turns();

} // namespace rmpopt
