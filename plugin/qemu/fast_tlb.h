// SPDX-License-Identifier: GPL-2.0-or-later
// The tables in which generated code looks translations up: for each kind of access a pair of words
// in the CPU object, the mask of its index and the table. An entry has three tags, for reads,
// writes and fetches, and what to add to a guest's address to get to the host's.
#pragma once

#include "qemu/vcpu.h"

#include <cstddef>
#include <string>

namespace rmpopt::fast_tlb
{

/// A probe for layout.h: finds the pairs. `fill(index, address)` must make QEMU cache a translation
/// of the page at `address` for reads, and returns where it leads; `flush()` drops all.
std::string probe(std::uint64_t address, void *(*fill)(int mmu_index, std::uint64_t address),
                  void (*flush)());

/// Lets the translation of the page at `address`, which QEMU has just cached for reads and not for
/// fetches, lead `distance` bytes further than to `host`, its place in QEMU's mapping of RAM. QEMU
/// asserts that a fetch stays within its own mapping. False when the entry is not as described.
bool redirect(const vcpu &cpu, int mmu_index, std::uint64_t address, const void *host,
              std::ptrdiff_t distance);

} // namespace rmpopt::fast_tlb
