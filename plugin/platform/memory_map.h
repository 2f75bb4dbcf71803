// SPDX-License-Identifier: GPL-2.0-or-later
// The memory map that the guest's kernel is going to read, of the two boot protocols by which QEMU
// starts kernels: where it has room, and how memory is taken out of it.
//
// Pure functions over system memory; nothing here knows QEMU. Not thread-safe: called while the
// boot CPU is about to enter long mode and no other CPU runs.
#pragma once

#include "hw-model/base/memory_view.h"

#include <optional>

namespace rmpopt
{

/// True when `address` holds the boot_params of a Linux kernel (boot protocol >= 2.10).
bool is_boot_params(const hw::memory_view &memory, hw::spa_t address);

/// True when `address` holds a PVH hvm_start_info with a memory map.
bool is_pvh_start_info(const hw::memory_view &memory, hw::spa_t address);

// The places found are 2 MB aligned, as high as possible, in RAM, and hold nothing that the boot
// loader has put there. Nothing when there is none.

/// For a kernel with these boot_params. Changes nothing; reserve_in_map() does.
std::optional<hw::spa_t> place_in_map(const hw::memory_view &memory, hw::spa_t boot_params,
                                      std::uint64_t bytes);
/// Cuts `hole` out of the RAM entry that holds it and enters it as reserved. False, with nothing
/// changed, when the map has no room for another entry.
bool reserve_in_map(const hw::memory_view &memory, hw::spa_t boot_params,
                    const hw::spa_range &hole);

/// For a kernel started by PVH, whose map has no room for another entry: so the place is the very
/// end of the highest RAM entry that can do without it, and that entry gets shorter.
std::optional<hw::spa_t> cut_from_pvh_map(const hw::memory_view &memory, hw::spa_t start_info,
                                          std::uint64_t bytes);

/// For a guest of unknown kind, which must keep the place free by itself.
std::optional<hw::spa_t> place_without_map(const hw::memory_view &memory, std::uint64_t bytes);

} // namespace rmpopt
