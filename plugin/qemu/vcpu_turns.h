// SPDX-License-Identifier: GPL-2.0-or-later
// When vCPUs take turns on one thread, with a clock that counts instructions.
#pragma once

#include <span>
#include <string>

namespace rmpopt
{

/// Makes the turns depend on the guest alone. QEMU's threads that reclaim memory (RCU) would
/// otherwise end a turn early, at a moment that the host decides; reclaiming now waits for the end
/// of the turn. On the thread that executes vCPUs. Returns an empty string, or what is unexpected.
std::string keep_turns();

/// vCPUs take turns in this order of their indices, which has each once and begins with 0. To be
/// called once, with QEMU's big lock, before any vCPU executes. Returns an empty string, or what is
/// unexpected.
std::string order_turns(std::span<const unsigned> order);

} // namespace rmpopt
