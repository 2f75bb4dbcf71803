// SPDX-License-Identifier: GPL-2.0-or-later
// The secure processor as a device: PCI function 1022:14ca, which QEMU makes for "-device
// rmpopt-psp". It implements the mailbox and passes the commands on; it does not know what they do.
//
// A command runs while no vCPU executes anything, between the block of code that rings the doorbell
// and the next one of that vCPU. So nobody sees its effects in part, and its answer not before
// them. The answer comes when the command's latency is over.
#pragma once

#include "platform/psp/latency.h"
#include "platform/psp/mailbox.h"
#include "qemu/guest_timer.h"

#include <cstdint>
#include <functional>

namespace rmpopt::psp
{

class device
{
  public:
    struct callbacks {
        /// A command came; it runs soon. QEMU's big lock is held.
        std::function<void(std::uint16_t command)> announce;
        /// Executes a command, whose buffer is at system address `buffer`, and returns its status.
        /// No vCPU executes anything; the big lock is not held and must not be taken.
        std::function<std::uint16_t(std::uint16_t command, std::uint64_t buffer)> run;
        /// The device was reset. QEMU's big lock is held.
        std::function<void()> reset;
    };

    device() = default;
    device(const device &) = delete;
    device &operator=(const device &) = delete;

    /// Lets QEMU make the device; before it makes any. The object must live until QEMU ends.
    void offer(callbacks cb, const latency &takes);
    /// True when QEMU has made it. Any thread, once the guest runs.
    static bool exists();

  private:
    struct job; ///< a command between doorbell and answer

    void write(std::uint32_t offset, std::uint32_t value);

    callbacks callbacks_;
    latency latency_;
    mailbox mailbox_;
    guest_timer answering_; ///< until the command has taken as long as it takes
};

} // namespace rmpopt::psp
