// SPDX-License-Identifier: GPL-2.0-or-later
// The secure processor as QEMU sees it: PCI function 1022:14ca on a vfio-user socket. The mailbox
// is here; what the commands do is for others to know.
//
// Threads: a server thread answers QEMU and never waits for anything else, because QEMU holds its
// big lock while it reads a register. A worker thread runs the commands; it may take the locks that
// vCPU callbacks take, as long as those are not held across a device access. Neither thread calls
// QEMU itself. start(), stop() and the destructor belong to one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace rmpopt::psp
{

class device
{
  public:
    /// Called without locks held.
    struct callbacks {
        /// Runs a command, whose buffer is at a system address, to its end and returns its status.
        /// The worker thread; the guest sees the command complete once this has returned.
        std::function<std::uint16_t(std::uint16_t command, std::uint64_t buffer)> run;
        /// The device was reset. The worker thread, after the command that was under way.
        std::function<void()> reset;
        /// One line, without newline, from either thread.
        std::function<void(std::string_view)> log;
    };

    device();
    ~device();
    device(const device &) = delete;
    device &operator=(const device &) = delete;

    /// Listens on `path` and starts the threads. QEMU can connect as soon as this returns.
    /// Empty string on success; otherwise one line that says what is wrong and what to do.
    std::string start(const std::string &path, callbacks cb);

    /// Ends the threads and removes the socket; nothing is called afterwards. Idempotent.
    /// The connection stays open until the destructor runs: QEMU complains about one that ends
    /// before QEMU does.
    void stop();

    /// False when the plugin was built without libvfio-user: start() then says so.
    static bool available();

  private:
    class server;
    std::shared_ptr<server> server_; ///< its server thread shares it
};

} // namespace rmpopt::psp
