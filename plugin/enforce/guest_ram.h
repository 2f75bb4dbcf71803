// SPDX-License-Identifier: GPL-2.0-or-later
// Guest RAM is mapped twice. The guest accesses it through QEMU's own mapping, which write_protect
// protects; the emulated hardware and firmware use the second mapping, which is always writable.
#pragma once

#include "hw-model/base/memory_view.h"
#include "qemu/machine.h"

#include <optional>

namespace rmpopt
{

class guest_ram
{
  public:
    /// Maps the block a second time. Returns an empty string, or what went wrong.
    std::string map(const guest_ram_block &block);

    /// System memory through the second mapping.
    const hw::memory_view &hardware_view() const { return view_; }

    const std::vector<hw::spa_range> &layout() const { return block_.layout; }
    std::byte *qemu_base() const { return block_.qemu_host; }
    std::uint64_t bytes() const { return block_.bytes; }

    /// From a byte in QEMU's mapping to the same byte in the second one.
    std::ptrdiff_t to_hardware_view() const { return mapping_ - block_.qemu_host; }

    /// The same byte in the second mapping, of an address in either; nullptr for any other address.
    std::byte *hardware_address(void *address) const;

    /// The system address of an address in QEMU's mapping; nothing for any other address.
    std::optional<hw::spa_t> spa_of(const void *qemu_address) const;
    /// The address in QEMU's mapping; nullptr unless [spa, spa + bytes) lies in one run of RAM.
    std::byte *qemu_address(hw::spa_t spa, std::uint64_t bytes) const;

    /// Zeroes whole pages by returning their memory to the host.
    void zero(const hw::spa_range &range) const;

  private:
    std::optional<std::uint64_t> offset_of(hw::spa_t spa, std::uint64_t bytes) const;

    guest_ram_block block_;
    std::byte *mapping_ = nullptr;
    hw::memory_view view_;
};

} // namespace rmpopt
