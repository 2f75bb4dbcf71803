// SPDX-License-Identifier: GPL-2.0-or-later
// INIT_EX: initialisation with the platform's non-volatile storage in memory (AMD 55766).
#include "hw-model/firmware/sev/sev.h"

#include <algorithm>

namespace rmpopt::hw
{

namespace
{

/// Image in the buffer. Real firmware encrypts its own; this layout is the model's.
struct nv_image {
    std::array<char, 16> magic{'r', 'm', 'p', 'o', 'p', 't', ' ', 'N', 'V', ' ', '1'};
    std::uint32_t pek_generation = 0, pdh_generation = 0;
    std::uint32_t owned = 0;
    sev_cert pek{}, oca{};
    std::uint32_t checksum = 0; ///< of all before it
};
static_assert(sizeof(nv_image) == 16 + 12 + 2 * cert_bytes + 4 && sizeof(nv_image) <= nv_bytes);

/// FNV-1a: notices damage, not malice.
std::uint32_t checksum_of(const nv_image &image)
{
    std::array<std::uint8_t, offsetof(nv_image, checksum)> bytes;
    std::memcpy(bytes.data(), &image, bytes.size());
    std::uint32_t h = 0x811c9dc5;
    for (const std::uint8_t b : bytes) {
        h = (h ^ b) * 0x01000193;
    }
    return h;
}

bool is_blank(std::span<const std::byte> nv)
{
    return (nv[0] == std::byte{0} || nv[0] == std::byte{0xff}) &&
           std::ranges::all_of(nv, [&nv](std::byte b) { return b == nv[0]; });
}

void write_image(const firmware_call &c, spa_range nv, const platform_identity &id)
{
    nv_image image;
    image.pek_generation = id.pek_generation;
    image.pdh_generation = id.pdh_generation;
    image.owned = id.owned ? 1 : 0;
    image.pek = id.owner_pek;
    image.oca = id.owner_oca;
    image.checksum = checksum_of(image);
    c.m.memory().write(nv.base, &image, sizeof image);
}

/// The pages as check_sev_outputs() wants them; the region must not be the trusted one as well.
firmware_status check_nv(const firmware_call &c, spa_range nv, spa_range tmr)
{
    return in_order(must(nv.bytes == nv_bytes, invalid_length),
                    must(is_aligned(nv.base, page_4k) && !tmr.overlaps(nv), invalid_address),
                    [&] { return check_sev_outputs(c, {nv}); });
}

} // namespace

bool load_identity(firmware_call &c, spa_range nv)
{
    std::vector<std::byte> bytes(nv.bytes);
    c.m.memory().read(nv.base, bytes.data(), bytes.size());
    if (is_blank(bytes)) {
        c.s.identity = {};
        return true;
    }
    nv_image image;
    std::memcpy(&image, bytes.data(), sizeof image);
    if (image.magic != nv_image{}.magic || image.checksum != checksum_of(image)) {
        return false;
    }
    c.s.identity = {.owned = image.owned != 0,
                    .pek_generation = image.pek_generation,
                    .pdh_generation = image.pdh_generation,
                    .owner_pek = image.pek,
                    .owner_oca = image.oca};
    return true;
}

void store_identity(firmware_call &c)
{
    if (c.s.nv.bytes != 0) {
        write_image(c, c.s.nv, c.s.identity);
    }
}

/// AMD 55766, INIT_EX. A damaged image is replaced by that of a new platform: hosts repeat the
/// command then.
firmware_status platform_init_ex(firmware_call &c, const init_ex_buffer &b)
{
    const spa_range nv = b.nv();
    return in_order(
        must(b.length == sizeof b, invalid_length), [&] { return check_init(c, b.flags, b.tmr()); },
        must(reserved_zero(b.reserved), invalid_param),
        [&] {
            const bool es = (b.flags & init_buffer::es) != 0;
            return check_nv(c, nv, es ? b.tmr() : spa_range{});
        },
        [&] {
            const bool intact = load_identity(c, nv);
            if (!intact) {
                write_image(c, nv, {});
            }
            return must(intact, secure_data_invalid);
        },
        [&] {
            enter_init(c, b.flags, b.tmr());
            c.s.nv = nv;
            store_identity(c);
        });
}

} // namespace rmpopt::hw
