// SPDX-License-Identifier: GPL-2.0-or-later
// Finds and reserves memory in the memory map that the guest's kernel is about to read, for the two
// boot protocols by which QEMU starts kernels.
//
// Pure functions over system memory, independent of QEMU. Not thread-safe: they are called while
// the boot CPU is about to enter long mode and no other CPU runs.
#pragma once

#include "hw-model/base/memory_view.h"

#include <optional>

namespace rmpopt
{

/// True when `address` holds the boot_params of a Linux kernel (boot protocol >= 2.10).
bool is_boot_params(const hw::memory_view &memory, hw::spa_t address);

/// True when `address` holds a PVH hvm_start_info with a memory map.
bool is_pvh_start_info(const hw::memory_view &memory, hw::spa_t address);

// The addresses found are as high as possible, 2 MB aligned, in RAM, and clear of everything that
// the boot loader has placed. The functions return nothing when there is no such address.

/// For a kernel with these boot_params. Leaves the map as it is; reserve_in_map() changes it.
std::optional<hw::spa_t> place_in_map(const hw::memory_view &memory, hw::spa_t boot_params,
                                      std::uint64_t bytes);
/// Splits the RAM entry around `hole` and adds an entry that marks `hole` as reserved. Returns
/// false and changes nothing when the map has no room for another entry.
bool reserve_in_map(const hw::memory_view &memory, hw::spa_t boot_params,
                    const hw::spa_range &hole);

/// For a kernel started by PVH. Its map has no room for another entry, so the memory is taken from
/// the very end of the highest RAM entry that is large enough, and that entry is shortened.
std::optional<hw::spa_t> cut_from_pvh_map(const hw::memory_view &memory, hw::spa_t start_info,
                                          std::uint64_t bytes);

/// For any other guest. It must know by itself that the memory is taken.
std::optional<hw::spa_t> place_without_map(const hw::memory_view &memory, std::uint64_t bytes);

} // namespace rmpopt
