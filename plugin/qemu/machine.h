// SPDX-License-Identifier: GPL-2.0-or-later
// What the plugin needs of QEMU's machine besides its vCPUs: guest RAM, the guest's clock, resets.
#pragma once

#include "hw-model/base/types.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace rmpopt
{

/// The block of guest RAM that QEMU shares through a file descriptor.
struct guest_ram_block {
    int fd = -1;
    std::byte *qemu_host = nullptr; ///< QEMU's own mapping
    std::uint64_t bytes = 0;
    std::vector<hw::spa_range> layout; ///< runs of system memory, in the order of the file
};

/// Finds guest RAM; at the first instruction or later. Returns an empty string or what is wrong.
std::string find_guest_ram(guest_ram_block &out);

/// QEMU's virtual clock in nanoseconds: the guest's time. Any thread. With -icount, on a vCPU's
/// thread, as it was when QEMU last looked up from the guest.
std::uint64_t virtual_clock_ns();

/// Reads system memory through QEMU's own view, devices included. vCPU thread only.
bool read_system_memory(std::uint64_t address, void *to, std::size_t bytes);

/// True when the guest has asked for power-off or reset. QEMU's main thread does that some time
/// later, and until then the guest runs on. Any thread, after notice_end().
bool is_end_requested();
/// Before the guest runs.
void notice_end();
/// Powers the machine off as if the guest had asked for it. Any thread.
void request_power_off();

/// Calls `cb(userdata)` at every machine reset, in the main thread with vCPUs stopped. Only before
/// QEMU creates the machine.
void on_machine_reset(void (*cb)(void *), void *userdata);

} // namespace rmpopt
