// SPDX-License-Identifier: GPL-2.0-or-later
// The control socket: a thread that serves the clients of a unix socket. A client affects vCPUs
// only through its commands, never by being slow or sending nonsense, and the memory used for
// clients is bounded.
#pragma once

#include "control/control_session.h"

#include <atomic>
#include <list>
#include <string>
#include <thread>

namespace rmpopt
{

/// start() and stop() must be called from one thread.
class control_server
{
  public:
    static constexpr std::size_t most_clients = 16;

    ~control_server() { stop(); }

    /// Listens on `path`, which only the user may open (mode 0600). `events` must outlive this
    /// object. Returns an empty string on success, otherwise what is wrong.
    std::string start(const std::string &path, control_handler handler, const event_log &events);
    /// Sends the output that clients can take without waiting, then closes all connections. The
    /// handler is not called any more after it returns. Idempotent.
    void stop();

  private:
    struct client {
        int fd;
        control_session session;
        bool closing = false; ///< close it once its output is sent
    };

    void serve();
    void accept_client();
    /// False when the client is gone.
    bool read_from(client &c);
    bool write_to(client &c);

    std::string path_;
    control_handler handler_;
    const event_log *events_ = nullptr;
    int listener_ = -1;
    std::list<client> clients_;
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

} // namespace rmpopt
