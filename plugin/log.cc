// SPDX-License-Identifier: GPL-2.0-or-later
#include "log.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace rmpopt
{

namespace
{

int log_fd = STDERR_FILENO;

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
}

void refuse(const std::string &text)
{
    write_line(STDERR_FILENO, text);
    if (log_fd != STDERR_FILENO) {
        write_line(log_fd, text);
    }
    _exit(EXIT_FAILURE);
}

} // namespace rmpopt
