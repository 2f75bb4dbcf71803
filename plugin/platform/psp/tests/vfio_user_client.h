// SPDX-License-Identifier: GPL-2.0-or-later
// The client side of vfio-user, as far as tests of the device need it: header, version, region
// accesses, interrupts, reset. Blocking, one request at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace rmpopt
{

class vfio_user_client
{
  public:
    enum command : std::uint16_t {
        version = 1,
        dma_map = 2,
        dma_unmap = 3,
        get_info = 4,
        get_region_info = 5,
        get_irq_info = 7,
        set_irqs = 8,
        region_read = 9,
        region_write = 10,
        device_reset = 13,
    };
    static constexpr unsigned bar2 = 2, bar5 = 5, config = 7;

    struct reply {
        bool ok = false;         ///< a reply came and carries no error
        std::uint32_t error = 0; ///< errno of the reply
        std::vector<std::byte> body;
    };

    vfio_user_client() = default;
    ~vfio_user_client();
    vfio_user_client(const vfio_user_client &) = delete;
    vfio_user_client &operator=(const vfio_user_client &) = delete;

    bool connect(const std::string &path); ///< socket only
    bool negotiate();
    void hang_up();

    reply call(std::uint16_t cmd, std::span<const std::byte> body, int fd = -1);
    bool send_raw(std::span<const std::byte> bytes);

    /// All-ones when the device refuses or is gone, as QEMU lets the guest see it.
    std::uint32_t read32(unsigned region, std::uint64_t offset);
    bool write32(unsigned region, std::uint64_t offset, std::uint32_t value);
    reply read(unsigned region, std::uint64_t offset, std::uint32_t bytes);
    reply write(unsigned region, std::uint64_t offset, std::span<const std::byte> data);
    bool set_msix(unsigned vector, int event_fd);
    bool reset();

  private:
    reply receive(std::uint16_t id);

    int fd_ = -1;
    std::uint16_t next_id_ = 1;
};

/// The bytes of a few integers in a row.
template <class... T> std::vector<std::byte> bytes_of(T... v)
{
    std::vector<std::byte> out((sizeof v + ...));
    std::byte *at = out.data();
    ((std::memcpy(at, &v, sizeof v), at += sizeof v), ...);
    return out;
}

} // namespace rmpopt
