// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/log.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <mutex>
#include <unistd.h>

namespace rmpopt
{

namespace
{

constexpr std::size_t kept_lines = 200;

int log_fd = STDERR_FILENO;
std::mutex lines_lock;
// Never destroyed: QEMU's last callback comes after this object's static destructors.
auto &lines = *new std::vector<std::string>;
auto &refusal_action = *new std::function<void()>;

void write_line(int fd, const std::string &text)
{
    const std::string line = "rmpopt: " + text + "\n";
    // A log that cannot be written must not stop the guest.
    [[maybe_unused]] const ssize_t n = write(fd, line.data(), line.size());
}

} // namespace

std::string open_log(const std::string &path)
{
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) {
        return "option log: cannot write " + path + ": " + std::strerror(errno);
    }
    log_fd = fd;
    return {};
}

void log_line(const std::string &text)
{
    write_line(log_fd, text);
    const std::scoped_lock lock(lines_lock);
    if (lines.size() < kept_lines) {
        lines.push_back(text);
    }
}

std::vector<std::string> logged_lines()
{
    const std::scoped_lock lock(lines_lock);
    return lines;
}

void before_refusal(std::function<void()> action)
{
    refusal_action = action;
}

void refuse(const std::string &text)
{
    log_line(text);
    if (log_fd != STDERR_FILENO) {
        write_line(STDERR_FILENO, text);
    }
    if (refusal_action != nullptr) {
        refusal_action();
    }
    _exit(EXIT_FAILURE);
}

} // namespace rmpopt
