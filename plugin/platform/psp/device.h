// SPDX-License-Identifier: GPL-2.0-or-later
// The secure processor as a device: PCI function 1022:14ca on a vfio-user socket. It implements the
// mailbox and passes the commands on; it does not know what they do.
//
// Threads: a server thread answers QEMU and never waits for anything else, because QEMU holds its
// big lock while it reads a register. A worker thread runs the commands. It may take the locks that
// vCPU callbacks take, as long as no callback holds them across a device access. Neither thread
// calls QEMU itself. start(), stop() and the destructor must be called from one thread.
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
    /// No locks are held when these are called.
    struct callbacks {
        /// Executes a command, whose buffer is at system address `buffer`, and returns its status.
        /// Called on the worker thread; the guest sees the command complete after it returns.
        std::function<std::uint16_t(std::uint16_t command, std::uint64_t buffer)> run;
        /// Called on the worker thread when the device was reset, after any command in progress.
        std::function<void()> reset;
        /// Logs one line, which has no newline. Called on either thread.
        std::function<void(std::string_view)> log;
    };

    device();
    ~device();
    device(const device &) = delete;
    device &operator=(const device &) = delete;

    /// Listens on `path` and starts the threads. QEMU can connect as soon as this returns. Returns
    /// an empty string on success, otherwise one line that says what is wrong and what to do.
    std::string start(const std::string &path, callbacks cb);

    /// Ends the threads and removes the socket. No callback is called afterwards. Idempotent. The
    /// connection stays open until the destructor runs, because QEMU complains if it is closed
    /// while QEMU still runs.
    void stop();

    /// False when the plugin was built without libvfio-user. start() then fails with that message.
    static bool available();

  private:
    class server;
    std::shared_ptr<server> server_; ///< its server thread shares it
};

} // namespace rmpopt::psp
