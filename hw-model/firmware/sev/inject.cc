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

struct secret_packet {
    secret_header header{};
    std::vector<std::byte> data;
};

/// Without compression, which is not modelled, as much goes in as comes out.
bool secret_lengths_are_good(const launch_secret_buffer &b)
{
    return b.hdr_len == sizeof(secret_header) && b.guest_len != 0 &&
           b.guest_len <= max_secret_bytes && is_aligned(b.guest_len, cipher_block) &&
           b.trans_len == b.guest_len;
}

/// A copy, so that it cannot change between check and use.
firmware_status read_secret(const firmware_call &c, const launch_secret_buffer &b,
                            secret_packet &out)
{
    out.data.resize(b.guest_len);
    const bool read = c.m.memory().read(b.hdr_paddr, &out.header, sizeof out.header) &&
                      c.m.memory().read(b.trans_paddr, out.data.data(), out.data.size());
    return in_order(must(read, invalid_address), must(out.header.flags == 0, invalid_param));
}

/// HMAC(1, flags, IV, guest length, transport length, data, measurement; TIK).
bool is_owners(const secret_packet &p, const sev_guest &guest)
{
    constexpr std::array prefix{std::byte{1}};
    const auto bytes = static_cast<std::uint32_t>(p.data.size());
    const std::array<std::uint32_t, 2> lengths{bytes, bytes};
    const std::array<std::uint32_t, 1> flags{p.header.flags};
    return p.header.mac == hmac_sha256(transport_integrity_key,
                                       {prefix, std::as_bytes(std::span(flags)), p.header.iv,
                                        std::as_bytes(std::span(lengths)), p.data, guest.measure});
}

/// The source must not be a guest's or firmware's own: without encryption the copy would show it.
firmware_status check_debug_ranges(const firmware_call &c, spa_range from, spa_range to)
{
    return in_order(
        must(to.bytes != 0 && is_aligned(to.bytes, cipher_block), invalid_length),
        must(is_aligned(from.base, cipher_block) && is_aligned(to.base, cipher_block),
             invalid_address),
        [&] { return check_output(c, from.base, from.bytes, false); },
        [&] { return check_sev_outputs(c, {to}); });
}

} // namespace

/// AMD 55766, LAUNCH_UPDATE_SECRET.
firmware_status launch_update_secret(firmware_call &c, const launch_secret_buffer &b)
{
    const spa_range out = b.guest();
    sev_guest *guest = nullptr;
    secret_packet packet;
    return in_order(
        [&] { return find_sev_guest_in(c, b.handle, sev_guest_state::launch_secret, guest); },
        [&] { return must(guest->asid != 0, inactive); },
        must(secret_lengths_are_good(b), invalid_length),
        must(is_aligned(out.base, cipher_block), invalid_address),
        [&] { return check_sev_outputs(c, {out}); }, [&] { return read_secret(c, b, packet); },
        [&] { return must(is_owners(packet, *guest), bad_measurement); },
        [&] {
            aes128_ctr(transport_encryption_key, packet.header.iv, packet.data);
            c.m.memory().write(out.base, packet.data.data(), packet.data.size());
        });
}

/// AMD 55766, DBG_DECRYPT and DBG_ENCRYPT: as memory is not encrypted, both copy. Source and
/// destination may overlap.
firmware_status debug_copy(firmware_call &c, const dbg_buffer &b)
{
    const spa_range from{b.src_paddr, b.length}, to{b.dst_paddr, b.length};
    sev_guest *guest = nullptr;
    return in_order(
        [&] { return find_sev_guest(c, b.handle, guest); },
        [&] { return must(guest->asid != 0, inactive); },
        [&] { return must((guest->policy & sev_policy::no_debug) == 0, policy_failure); },
        [&] { return check_debug_ranges(c, from, to); },
        [&] {
            std::memmove(c.m.memory().at(to.base, to.bytes), c.m.memory().at(from.base, from.bytes),
                         to.bytes);
        });
}

} // namespace rmpopt::hw
