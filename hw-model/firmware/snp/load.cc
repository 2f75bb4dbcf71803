// SPDX-License-Identifier: GPL-2.0-or-later
// What the host loads into firmware: a wrapped endorsement key, a newer firmware.
#include "hw-model/firmware/internal.h"

namespace rmpopt::hw
{

namespace
{

constexpr std::size_t wrapped_vlek_bytes = 432;

} // namespace

/// AMD 56860, SNP_VLEK_LOAD. The key is wrapped for one chip by AMD; a model cannot unwrap it and
/// takes any for good.
firmware_status snp_vlek_load(firmware_call &c)
{
    if (!c.s.snp_init) {
        return firmware_status::invalid_platform_state;
    }
    if (c.get<std::uint32_t>(0) != c.buffer.size()) {
        return firmware_status::invalid_length;
    }
    if (!c.is_zero(4, 4)) { // version of the wrapping and reserved bytes
        return firmware_status::invalid_param;
    }
    if (c.m.memory().at(c.get_address(8), wrapped_vlek_bytes) == nullptr) {
        return firmware_status::invalid_address;
    }
    c.s.vlek_loaded = true;
    return firmware_status::success;
}

/// AMD 56860, SNP_DOWNLOAD_FIRMWARE_EX: in any platform state, but as with DOWNLOAD_FIRMWARE
/// nothing that AMD signed would be right for a model.
firmware_status snp_download_firmware_ex(firmware_call &c)
{
    constexpr std::uint32_t commit = 1u << 0;
    if (c.get<std::uint32_t>(0) != c.buffer.size()) {
        return firmware_status::invalid_length;
    }
    if ((c.get<std::uint32_t>(4) & ~commit) != 0 || !c.is_zero(20, 4)) {
        return firmware_status::invalid_param;
    }
    const std::uint64_t bytes = c.get<std::uint32_t>(16);
    if (bytes == 0) {
        return firmware_status::invalid_length;
    }
    const spa_t image = c.get_address(8);
    return is_aligned(image, page_4k) && c.m.memory().at(image, bytes) != nullptr
               ? firmware_status::bad_signature
               : firmware_status::invalid_address;
}

} // namespace rmpopt::hw
