// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/socket_path.h"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace rmpopt
{

namespace
{

constexpr std::size_t max_path = sizeof(sockaddr_un::sun_path) - 1;

std::string prefix_of(std::string_view option, const std::string &path)
{
    return std::string(option) + "=" + path + ": ";
}

/// errno of an attempt to connect, 0 when it worked.
int try_connect(const std::string &path)
{
    sockaddr_un addr{};
    addr.sun_family = AF_UNIX;
    path.copy(addr.sun_path, max_path);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return errno;
    }
    const int r = connect(fd, reinterpret_cast<const sockaddr *>(&addr), sizeof addr);
    const int error = r == 0 ? 0 : errno;
    close(fd);
    return error;
}

} // namespace

std::string socket_error(std::string_view option, const std::string &path, int error)
{
    const std::string prefix = prefix_of(option, path);
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return prefix + "the directory does not exist; create it or choose another path";
    case EACCES:
    case EPERM:
    case EROFS:
        return prefix + "no permission to create a socket there; choose another path";
    default:
        return prefix + "cannot listen: " + std::strerror(error);
    }
}

std::string claim_socket_path(std::string_view option, const std::string &path)
{
    const std::string prefix = prefix_of(option, path);
    if (path.empty()) {
        return prefix + "the path is empty; give the path of a unix socket to create";
    }
    if (path.size() > max_path) {
        return prefix + "longer than the " + std::to_string(max_path) +
               " bytes that a unix socket allows; choose a shorter path";
    }
    struct stat st {
    };
    if (lstat(path.c_str(), &st) != 0) {
        return errno == ENOENT ? std::string() : socket_error(option, path, errno);
    }
    if (!S_ISSOCK(st.st_mode)) {
        return prefix + "exists and is no socket; remove it or choose another path";
    }
    const int error = try_connect(path);
    if (error != ECONNREFUSED) {
        return error == 0 || error == EAGAIN
                   ? prefix + "another process listens there; stop it or choose another path"
                   : socket_error(option, path, error);
    }
    return unlink(path.c_str()) == 0 ? std::string() : socket_error(option, path, errno);
}

} // namespace rmpopt
