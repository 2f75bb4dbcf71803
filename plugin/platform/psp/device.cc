// SPDX-License-Identifier: GPL-2.0-or-later
#include "platform/psp/device.h"

#include "base/socket_path.h"
#include "platform/psp/mailbox.h"
#include "platform/psp/vfio_user_port.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <deque>
#include <future>
#include <mutex>
#include <optional>
#include <poll.h>
#include <pthread.h>
#include <span>
#include <string>
#include <sys/eventfd.h>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace rmpopt::psp
{

namespace
{

/// How long stop() waits for the server thread, which may be in the middle of a client's message,
/// before it detaches the thread.
constexpr std::chrono::milliseconds stop_patience{300};

class event
{
  public:
    event() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
    ~event() { close(fd_); }
    event(const event &) = delete;
    event &operator=(const event &) = delete;

    int fd() const { return fd_; }
    void signal() const { eventfd_write(fd_, 1); }
    void clear() const
    {
        eventfd_t v = 0;
        eventfd_read(fd_, &v);
    }

  private:
    int fd_;
};

/// Starts a thread with all signals blocked, so that QEMU's own threads get them; only those that
/// the thread raises itself by a fault stay unblocked.
template <class F> std::thread start_thread(const char *name, F body)
{
    sigset_t all, old;
    sigfillset(&all);
    for (const int s : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) {
        sigdelset(&all, s);
    }
    pthread_sigmask(SIG_SETMASK, &all, &old);
    struct restore {
        const sigset_t &mask;
        ~restore() { pthread_sigmask(SIG_SETMASK, &mask, nullptr); }
    } const on_return{old};
    std::thread t(std::move(body));
    pthread_setname_np(t.native_handle(), name);
    return t;
}

/// Waits for any of `fds`, and spins for a moment before it sleeps: a driver accesses several
/// registers in a row, and being woken for each would take longer than answering it.
int wait_for_any(std::span<pollfd> fds)
{
    constexpr std::chrono::microseconds patience{100};
    const auto end = std::chrono::steady_clock::now() + patience;
    int ready = 0;
    do {
        ready = poll(fds.data(), fds.size(), 0);
    } while (ready == 0 && std::chrono::steady_clock::now() < end);
    return ready != 0 ? ready : poll(fds.data(), fds.size(), -1);
}

} // namespace

class device::server : public std::enable_shared_from_this<server>
{
  public:
    server(std::string path, callbacks cb) : path_(std::move(path)), callbacks_(std::move(cb)) {}
    ~server();
    server(const server &) = delete;
    server &operator=(const server &) = delete;

    std::string start();
    void stop();

  private:
    /// Work for the worker thread: a command, or a reset when there is none.
    using job = std::optional<mailbox::request>;

    void serve();
    void work();
    void run(const mailbox::request &request);
    void post(job j);
    void log(std::string_view line);
    vfio_user_handler handler();

    const std::string path_;
    const callbacks callbacks_;
    mailbox mailbox_;
    vfio_user_port *port_ = nullptr;
    event stop_event_, interrupt_event_;

    std::mutex log_lock_;
    bool silent_ = false; ///< after stop()

    std::mutex job_lock_;
    std::condition_variable job_ready_;
    std::deque<job> jobs_;
    bool stopping_ = false;

    std::promise<void> served_; ///< serve() has ended
    std::thread server_thread_, worker_thread_;
};

std::string device::server::start()
{
    if (std::string error = claim_socket_path("psp", path_); !error.empty()) {
        return error;
    }
    const vfio_user_handler h = handler();
    port_ = vfio_user_port_open(path_.c_str(), bar2_bytes, &h);
    if (port_ == nullptr) {
        return socket_error("psp", path_, errno);
    }
    try {
        worker_thread_ = start_thread("rmpopt-psp", [this] { work(); });
        server_thread_ = start_thread("rmpopt-psp-io", [self = shared_from_this()] {
            self->serve();
            self->served_.set_value();
        });
    } catch (const std::system_error &e) {
        return "psp=" + path_ + ": cannot start a thread: " + e.what();
    }
    return {};
}

device::server::~server()
{
    if (port_ != nullptr) {
        vfio_user_port_close(port_);
    }
}

void device::server::stop()
{
    if (port_ == nullptr || stopping_) {
        return;
    }
    {
        const std::scoped_lock lock(job_lock_);
        stopping_ = true;
    }
    job_ready_.notify_all();
    stop_event_.signal();
    if (worker_thread_.joinable()) {
        worker_thread_.join();
    }
    if (server_thread_.joinable()) {
        if (served_.get_future().wait_for(stop_patience) == std::future_status::ready) {
            server_thread_.join();
        } else {
            server_thread_.detach(); // it keeps this object alive
        }
    }
    {
        const std::scoped_lock lock(log_lock_);
        silent_ = true;
    }
    unlink(path_.c_str());
}

void device::server::log(std::string_view line)
{
    const std::scoped_lock lock(log_lock_);
    if (!silent_) {
        callbacks_.log(line);
    }
}

vfio_user_handler device::server::handler()
{
    return {.self = this,
            .read =
                [](void *self, std::uint32_t offset) {
                    return static_cast<server *>(self)->mailbox_.read(offset);
                },
            .write =
                [](void *self, std::uint32_t offset, std::uint32_t value) {
                    auto *s = static_cast<server *>(self);
                    if (const auto request = s->mailbox_.write(offset, value)) {
                        s->post(request);
                    }
                },
            .reset =
                [](void *self) {
                    auto *s = static_cast<server *>(self);
                    s->mailbox_.reset();
                    s->post(std::nullopt);
                },
            .log = [](void *self, const char *line) { static_cast<server *>(self)->log(line); }};
}

void device::server::serve()
{
    for (;;) {
        std::array<pollfd, 3> fds{{{stop_event_.fd(), POLLIN, 0},
                                   {interrupt_event_.fd(), POLLIN, 0},
                                   {vfio_user_port_fd(port_), POLLIN, 0}}};
        if (wait_for_any(fds) < 0 && errno != EINTR) {
            log(std::string("poll failed, the device stops answering: ") + std::strerror(errno));
            return;
        }
        if (fds[0].revents != 0) {
            return;
        }
        if (fds[1].revents != 0) {
            interrupt_event_.clear();
            vfio_user_port_interrupt(port_);
        }
        if (fds[2].revents != 0) {
            vfio_user_port_service(port_);
        }
    }
}

void device::server::post(job j)
{
    {
        const std::scoped_lock lock(job_lock_);
        jobs_.push_back(j);
    }
    job_ready_.notify_one();
}

void device::server::work()
{
    for (;;) {
        job j;
        {
            std::unique_lock lock(job_lock_);
            job_ready_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
            if (stopping_) {
                return;
            }
            j = jobs_.front();
            jobs_.pop_front();
        }
        if (j.has_value()) {
            run(*j);
        } else {
            callbacks_.reset();
        }
    }
}

void device::server::run(const mailbox::request &request)
{
    if (!mailbox_.is_pending(request)) {
        return; // the device was reset before its turn came
    }
    const std::uint16_t status = callbacks_.run(request.command, request.buffer);
    if (mailbox_.complete(request, status)) {
        interrupt_event_.signal();
    }
}

device::device() = default;
device::~device()
{
    stop();
}

std::string device::start(const std::string &path, callbacks cb)
{
    stop();
    server_ = std::make_shared<server>(path, std::move(cb));
    std::string error = server_->start();
    if (!error.empty()) {
        stop();
        server_.reset();
    }
    return error;
}

void device::stop()
{
    if (server_ != nullptr) {
        server_->stop();
    }
}

bool device::available()
{
    return true;
}

} // namespace rmpopt::psp
