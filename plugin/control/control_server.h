// SPDX-License-Identifier: GPL-2.0-or-later
// The control socket: a thread that serves clients of a unix socket. Nothing that a client does
// reaches a vCPU but the commands themselves; memory for all clients is bounded.
#pragma once

#include "control/control_session.h"

#include <atomic>
#include <list>
#include <string>
#include <thread>

namespace rmpopt
{

/// start() and stop() belong to one thread.
class control_server
{
  public:
    static constexpr std::size_t most_clients = 16;

    ~control_server() { stop(); }

    /// Listens on `path`, for the user only (mode 0600). `events` outlives this. Returns an empty
    /// string or what is wrong.
    std::string start(const std::string &path, control_handler handler, const event_log &events);
    /// Once it returns `handler` is not called any more. Sends what clients are owed, as far as
    /// they take it at once. Idempotent.
    void stop();

  private:
    struct client {
        int fd;
        control_session session;
        bool closing = false; ///< after its output
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
