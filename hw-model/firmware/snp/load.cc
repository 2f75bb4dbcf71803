// SPDX-License-Identifier: GPL-2.0-or-later
// What the host loads into firmware: a wrapped endorsement key, a newer firmware.
#include "hw-model/firmware/snp/snp.h"

namespace rmpopt::hw
{

namespace
{

constexpr std::size_t wrapped_vlek_bytes = 432;

} // namespace

/// AMD 56860, SNP_VLEK_LOAD. AMD wraps the key for one chip; a model cannot unwrap it and accepts
/// any.
firmware_status snp_vlek_load(firmware_call &c, const snp_vlek_load_buffer &b)
{
    const bool is_ram = c.m.memory().at(b.vlek_wrapped_paddr, wrapped_vlek_bytes) != nullptr;
    return in_order(must(c.s.snp_init, invalid_platform_state),
                    must(b.length == sizeof b, invalid_length),
                    must(b.vlek_wrapped_version == 0 && reserved_zero(b.reserved), invalid_param),
                    must(is_ram, invalid_address), [&] { c.s.vlek_loaded = true; });
}

/// AMD 56860, SNP_DOWNLOAD_FIRMWARE_EX: in any platform state. As with DOWNLOAD_FIRMWARE, no
/// signature of AMD's would be right for a model.
firmware_status snp_download_firmware_ex(firmware_call &c, const snp_download_firmware_ex_buffer &b)
{
    const spa_t image = b.fw_paddr;
    const bool is_ram = c.m.memory().at(image, b.fw_len) != nullptr;
    return in_order(must(b.length == sizeof b, invalid_length),
                    must((b.flags & ~b.commit) == 0 && reserved_zero(b.reserved), invalid_param),
                    must(b.fw_len != 0, invalid_length),
                    must(is_aligned(image, page_4k) && is_ram, invalid_address),
                    [] { return bad_signature; });
}

} // namespace rmpopt::hw
