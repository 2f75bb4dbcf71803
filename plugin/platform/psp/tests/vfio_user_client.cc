// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio_user_client.h"

#include <array>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace rmpopt
{

namespace
{

constexpr std::size_t header_bytes = 16;
constexpr std::uint32_t flag_error = 1u << 5;
constexpr timeval patience{.tv_sec = 5, .tv_usec = 0};

struct header {
    std::uint16_t id;
    std::uint16_t command;
    std::uint32_t size;
    std::uint32_t flags;
    std::uint32_t error;
};
static_assert(sizeof(header) == header_bytes);

std::vector<std::byte> region_access(std::uint64_t offset, unsigned region, std::uint32_t count)
{
    return bytes_of(offset, std::uint32_t{region}, count);
}

} // namespace

vfio_user_client::~vfio_user_client()
{
    hang_up();
}

void vfio_user_client::hang_up()
{
    if (fd_ >= 0) {
        close(fd_);
    }
    fd_ = -1;
}

bool vfio_user_client::connect(const std::string &path)
{
    sockaddr_un addr{};
    addr.sun_family = AF_UNIX;
    path.copy(addr.sun_path, sizeof addr.sun_path - 1);
    fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return ::connect(fd_, reinterpret_cast<const sockaddr *>(&addr), sizeof addr) == 0;
}

bool vfio_user_client::negotiate()
{
    auto body = bytes_of(std::uint16_t{0}, std::uint16_t{1});
    const std::string json = R"({"capabilities":{"max_msg_fds":8,"max_data_xfer_size":1048576}})";
    for (const char c : json) {
        body.push_back(static_cast<std::byte>(c));
    }
    body.push_back(std::byte{0});
    return call(version, body).ok;
}

bool vfio_user_client::send_raw(std::span<const std::byte> bytes)
{
    return send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
}

vfio_user_client::reply vfio_user_client::call(std::uint16_t cmd, std::span<const std::byte> body,
                                               int fd)
{
    header h{.id = next_id_++,
             .command = cmd,
             .size = static_cast<std::uint32_t>(header_bytes + body.size()),
             .flags = 0,
             .error = 0};
    std::array<iovec, 2> iov{{{&h, sizeof h}, {const_cast<std::byte *>(body.data()), body.size()}}};
    msghdr msg{};
    msg.msg_iov = iov.data();
    msg.msg_iovlen = iov.size();
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
    if (fd >= 0) {
        msg.msg_control = control.data();
        msg.msg_controllen = control.size();
        cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    if (sendmsg(fd_, &msg, MSG_NOSIGNAL) < 0) {
        return {};
    }
    return receive(h.id);
}

vfio_user_client::reply vfio_user_client::receive(std::uint16_t id)
{
    header h{};
    if (recv(fd_, &h, sizeof h, MSG_WAITALL) != sizeof h || h.id != id || h.size < header_bytes) {
        return {};
    }
    reply r{.ok = (h.flags & flag_error) == 0, .error = h.error, .body = {}};
    r.body.resize(h.size - header_bytes);
    if (!r.body.empty() && recv(fd_, r.body.data(), r.body.size(), MSG_WAITALL) !=
                               static_cast<ssize_t>(r.body.size())) {
        return {};
    }
    return r;
}

vfio_user_client::reply vfio_user_client::read(unsigned region, std::uint64_t offset,
                                               std::uint32_t bytes)
{
    reply r = call(region_read, region_access(offset, region, bytes));
    if (r.ok && r.body.size() >= 16) {
        r.body.erase(r.body.begin(), r.body.begin() + 16);
    }
    return r;
}

vfio_user_client::reply vfio_user_client::write(unsigned region, std::uint64_t offset,
                                                std::span<const std::byte> data)
{
    auto body = region_access(offset, region, static_cast<std::uint32_t>(data.size()));
    body.insert(body.end(), data.begin(), data.end());
    return call(region_write, body);
}

std::uint32_t vfio_user_client::read32(unsigned region, std::uint64_t offset)
{
    const reply r = read(region, offset, 4);
    std::uint32_t v = ~0u;
    if (r.ok && r.body.size() == sizeof v) {
        std::memcpy(&v, r.body.data(), sizeof v);
    }
    return v;
}

bool vfio_user_client::write32(unsigned region, std::uint64_t offset, std::uint32_t value)
{
    return write(region, offset, bytes_of(value)).ok;
}

bool vfio_user_client::set_msix(unsigned vector, int event_fd)
{
    constexpr std::uint32_t flags = 0x24; // trigger by eventfd
    constexpr std::uint32_t msix_index = 2, argsz = 20, count = 1;
    return call(set_irqs, bytes_of(argsz, flags, msix_index, std::uint32_t{vector}, count),
                event_fd)
        .ok;
}

bool vfio_user_client::reset()
{
    return call(device_reset, {}).ok;
}

} // namespace rmpopt
