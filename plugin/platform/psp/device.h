// SPDX-License-Identifier: GPL-2.0-or-later
// The secure processor as QEMU sees it: PCI function 1022:14ca on a vfio-user socket. The mailbox
// is here, what the commands do is hw::firmware's.
//
// Threads: a server thread answers QEMU and never waits for anything else, because QEMU holds its
// big lock while it reads a register. A worker thread runs the commands and calls `before` and
// `apply`; it may take the locks that vCPU callbacks take, as long as those are not held across a
// device access. Neither thread calls QEMU itself. start(), stop() and the destructor belong to one
// thread; attach_firmware() may come from any.
#pragma once

#include "hw-model/firmware/firmware.h"
#include "hw-model/rmp/rmp_changes.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace rmpopt
{

class psp_device
{
  public:
    struct callbacks {
        /// A command is about to run; called by the worker thread, without locks held. May be
        /// empty.
        std::function<void(std::uint16_t command)> before;
        /// A status with which the command fails instead of being executed; called like `before`.
        /// May be empty.
        std::function<std::optional<std::uint16_t>(std::uint16_t command)> fails{};
        /// Makes the effects of a command true; called by the worker thread, without locks held,
        /// before the guest sees the command complete. May be empty.
        std::function<void(const hw::rmp_changes &)> apply;
        /// A command has been executed and its effects applied; called like `apply`. May be empty.
        std::function<void(std::uint16_t command, std::uint16_t status)> executed;
        /// One line, without newline, from either thread. May be empty.
        std::function<void(std::string_view)> log;
    };

    psp_device();
    ~psp_device();
    psp_device(const psp_device &) = delete;
    psp_device &operator=(const psp_device &) = delete;

    /// Listens on `path` and starts the threads. QEMU can connect as soon as this returns.
    /// Empty string on success; otherwise one line that says what is wrong and what to do.
    std::string start(const std::string &path, callbacks cb);

    /// Until this is called commands answer with hardware_platform (0x13). May be called again
    /// with another object; the old one is not used any more once this returns.
    void attach_firmware(hw::firmware &firmware);

    /// Ends the threads and removes the socket; the firmware is not used afterwards. Idempotent.
    /// The connection stays open until the destructor runs: QEMU complains about one that ends
    /// before QEMU does.
    void stop();

    /// False when the plugin was built without libvfio-user: start() then says so.
    static bool available();

  private:
    class server;
    std::shared_ptr<server> server_; ///< its server thread shares it
};

} // namespace rmpopt
