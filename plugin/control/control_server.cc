// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control_server.h"

#include "base/socket_path.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

namespace rmpopt
{

namespace
{

constexpr int tick_ms = 100; ///< longest delay of an event
constexpr std::string_view option = "control";

/// A listening socket, or -1 with errno.
int listen_on(const std::string &path)
{
    sockaddr_un addr{};
    addr.sun_family = AF_UNIX;
    path.copy(addr.sun_path, sizeof addr.sun_path - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    // Sets the mode before bind(), so that nobody else can connect in between.
    if (fd >= 0 && fchmod(fd, 0600) == 0 &&
        bind(fd, reinterpret_cast<const sockaddr *>(&addr), sizeof addr) == 0 &&
        chmod(path.c_str(), 0600) == 0 && listen(fd, control_server::most_clients) == 0) {
        return fd;
    }
    const int error = errno;
    if (fd >= 0) {
        close(fd);
    }
    errno = error;
    return -1;
}

} // namespace

std::string control_server::start(const std::string &path, control_handler handler,
                                  const event_log &events)
{
    std::string error = claim_socket_path(option, path);
    if (!error.empty()) {
        return error;
    }
    listener_ = listen_on(path);
    if (listener_ < 0) {
        return socket_error(option, path, errno);
    }
    path_ = path;
    handler_ = std::move(handler);
    events_ = &events;
    thread_ = std::thread([this] { serve(); });
    return {};
}

void control_server::stop()
{
    if (!thread_.joinable()) {
        return;
    }
    stop_ = true;
    thread_.join();
    unlink(path_.c_str());
}

void control_server::serve()
{
    while (!stop_) {
        std::vector<pollfd> fds{{listener_, POLLIN, 0}};
        for (const client &c : clients_) {
            const bool owed = !c.session.output().empty();
            fds.push_back(
                {c.fd, static_cast<short>((c.closing ? 0 : POLLIN) | (owed ? POLLOUT : 0)), 0});
        }
        if (poll(fds.data(), fds.size(), tick_ms) < 0 && errno != EINTR) {
            break;
        }
        auto fd = fds.begin() + 1;
        for (auto c = clients_.begin(); c != clients_.end(); ++fd) {
            const bool alive =
                ((fd->revents & (POLLIN | POLLHUP | POLLERR)) == 0 || read_from(*c)) &&
                write_to(*c) && !(c->closing && c->session.output().empty());
            if (!alive) {
                close(c->fd);
            }
            c = alive ? std::next(c) : clients_.erase(c);
        }
        if ((fds.front().revents & POLLIN) != 0) {
            accept_client();
        }
    }
    for (client &c : clients_) {
        write_to(c);
        close(c.fd);
    }
    clients_.clear();
    close(listener_);
}

void control_server::accept_client()
{
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        return;
    }
    if (clients_.size() >= most_clients) {
        constexpr std::string_view full =
            "{\"ok\": false, \"error\": \"16 clients are connected already; close one\"}\n";
        (void)!send(fd, full.data(), full.size(), MSG_NOSIGNAL);
        close(fd);
        return;
    }
    clients_.push_back({.fd = fd, .session = control_session(handler_, *events_)});
}

bool control_server::read_from(client &c)
{
    std::array<char, 16384> bytes;
    const ssize_t n = recv(c.fd, bytes.data(), bytes.size(), 0);
    if (n > 0) {
        c.closing = !c.session.receive({bytes.data(), static_cast<std::size_t>(n)}) || c.closing;
        return true;
    }
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

bool control_server::write_to(client &c)
{
    c.session.follow_events();
    const std::string_view out = c.session.output();
    if (out.empty()) {
        return true;
    }
    const ssize_t n = send(c.fd, out.data(), out.size(), MSG_NOSIGNAL);
    if (n > 0) {
        c.session.forget(static_cast<std::size_t>(n));
    }
    return n >= 0 || errno == EAGAIN || errno == EINTR;
}

} // namespace rmpopt
