// SPDX-License-Identifier: GPL-2.0-or-later
// Steps a host thread over an instruction that stores to memory, with a filter on what it may
// write. Knows nothing of QEMU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <ucontext.h>

namespace rmpopt
{

/// Takes the bytes that an instruction writes at `address`, in runs that do not cross 4 KB.
using store_sink = void (*)(std::uintptr_t address, std::span<const std::byte> bytes);

/// Performs one store instruction (with a REP prefix all iterations that are left) of the
/// interrupted code through `sink` and moves the thread past it. False, and nothing done, for any
/// other instruction: one that also reads its destination, or whose source is not known here.
bool step_over_store(ucontext_t &interrupted, store_sink sink);

} // namespace rmpopt
