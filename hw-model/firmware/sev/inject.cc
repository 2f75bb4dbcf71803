// SPDX-License-Identifier: GPL-2.0-or-later
// What comes into the memory of a SEV guest after its measured launch: secrets of its owner, and
// what a debugger reads and writes (AMD 55766).
#include "hw-model/firmware/sev/sev.h"

namespace rmpopt::hw
{

namespace
{

constexpr std::uint64_t cipher_block = 16;
constexpr std::uint32_t max_secret_bytes = 16 * 1024;

/// Flags (bit 0: compressed), IV, HMAC.
struct packet_header {
    std::uint32_t flags = 0;
    aes128_block iv{};
    sha256_digest mac{};
};
static_assert(sizeof(packet_header) == 52);

struct secret_packet {
    packet_header header;
    std::vector<std::byte> data;
    std::uint32_t guest_bytes = 0;
};

/// Without compression, which is not modelled, as much goes in as comes out.
firmware_status check_secret_lengths(const firmware_call &c)
{
    const auto guest_bytes = c.get<std::uint32_t>(32);
    const bool good = c.get<std::uint32_t>(16) == sizeof(packet_header) && guest_bytes != 0 &&
                      guest_bytes <= max_secret_bytes && is_aligned(guest_bytes, cipher_block) &&
                      c.get<std::uint32_t>(48) == guest_bytes;
    return good ? firmware_status::success : firmware_status::invalid_length;
}

/// A copy, so that it cannot change between check and use.
firmware_status read_secret(const firmware_call &c, secret_packet &out)
{
    out.guest_bytes = c.get<std::uint32_t>(32);
    out.data.resize(out.guest_bytes);
    const bool read = c.m.memory().read(c.get_address(8), &out.header, sizeof out.header) &&
                      c.m.memory().read(c.get_address(40), out.data.data(), out.data.size());
    if (!read) {
        return firmware_status::invalid_address;
    }
    return out.header.flags == 0 ? firmware_status::success : firmware_status::invalid_param;
}

/// HMAC(1, flags, IV, guest length, transport length, data, measurement; TIK).
bool is_owners(const secret_packet &p, const sev_guest &guest)
{
    constexpr std::array prefix{std::byte{1}};
    const std::array<std::uint32_t, 2> lengths{p.guest_bytes, p.guest_bytes};
    return p.header.mac ==
           hmac_sha256(transport_integrity_key,
                       {prefix, std::as_bytes(std::span(&p.header.flags, 1)), p.header.iv,
                        std::as_bytes(std::span(lengths)), p.data, guest.measure});
}

firmware_status find_active(const firmware_call &c, sev_guest *&guest)
{
    const firmware_status status = find_sev_guest(c, guest);
    if (status != firmware_status::success) {
        return status;
    }
    return guest->asid != 0 ? firmware_status::success : firmware_status::inactive;
}

/// The source must not be a guest's or firmware's own: without encryption the copy would show it.
firmware_status check_debug_ranges(const firmware_call &c, spa_range from, spa_range to)
{
    if (to.bytes == 0 || !is_aligned(to.bytes, cipher_block)) {
        return firmware_status::invalid_length;
    }
    if (!is_aligned(from.base, cipher_block) || !is_aligned(to.base, cipher_block)) {
        return firmware_status::invalid_address;
    }
    const firmware_status status = check_output(c, from.base, from.bytes, false);
    return status == firmware_status::success ? check_sev_outputs(c, {to}) : status;
}

} // namespace

firmware_status launch_update_secret(firmware_call &c)
{
    sev_guest *guest = nullptr;
    firmware_status status = find_sev_guest_in(c, sev_guest_state::launch_secret, guest);
    if (status == firmware_status::success) {
        status = guest->asid != 0 ? check_secret_lengths(c) : firmware_status::inactive;
    }
    const spa_range out{c.get_address(24), c.get<std::uint32_t>(32)};
    if (status == firmware_status::success) {
        status = is_aligned(out.base, cipher_block) ? check_sev_outputs(c, {out})
                                                    : firmware_status::invalid_address;
    }
    secret_packet packet;
    if (status == firmware_status::success) {
        status = read_secret(c, packet);
    }
    if (status != firmware_status::success) {
        return status;
    }
    if (!is_owners(packet, *guest)) {
        return firmware_status::bad_measurement;
    }
    aes128_ctr(transport_encryption_key, packet.header.iv, packet.data);
    c.m.memory().write(out.base, packet.data.data(), packet.data.size());
    return firmware_status::success;
}

/// DBG_DECRYPT and DBG_ENCRYPT: as memory is not encrypted, both copy. Source and destination may
/// overlap.
firmware_status debug_copy(firmware_call &c)
{
    sev_guest *guest = nullptr;
    firmware_status status = find_active(c, guest);
    if (status == firmware_status::success && (guest->policy & sev_policy::no_debug) != 0) {
        status = firmware_status::policy_failure;
    }
    const std::uint64_t bytes = c.get<std::uint32_t>(24);
    const spa_range from{c.get_address(8), bytes}, to{c.get_address(16), bytes};
    if (status == firmware_status::success) {
        status = check_debug_ranges(c, from, to);
    }
    if (status == firmware_status::success) {
        std::memmove(c.m.memory().at(to.base, bytes), c.m.memory().at(from.base, bytes), bytes);
    }
    return status;
}

} // namespace rmpopt::hw
