// SPDX-License-Identifier: GPL-2.0-or-later
// SNP_LAUNCH_FINISH: the guest owner's ID block, with its signatures, against what was launched.
#include "hw-model/firmware/internal.h"
#include "hw-model/firmware/snp/crypto.h"

#include <algorithm>

namespace rmpopt::hw
{

namespace
{

namespace field
{
constexpr std::size_t id_block = 8, id_auth = 16, flags = 24;
}
constexpr std::uint64_t id_block_enable = 1u << 0, author_key_enable = 1u << 1,
                        vcek_disable = 1u << 2;

// ID block and ID authentication information (AMD 56860, SNP_LAUNCH_FINISH).
constexpr std::size_t id_block_bytes = 96, id_auth_bytes = page_4k;
namespace id_block
{
constexpr std::size_t version = 80, policy = 88;
}
namespace id_auth
{
constexpr std::size_t id_key_algorithm = 0, author_key_algorithm = 4, block_signature = 0x40,
                      id_key = 0x240, key_signature = 0x680, author_key = 0x880;
}
constexpr std::size_t public_key_bytes = 1028;
constexpr std::uint32_t ecdsa_p384_sha384 = 1, curve_p384 = 2;

using bytes = std::span<const std::byte>;

template <class T> T load(bytes from, std::size_t offset)
{
    T v;
    std::memcpy(&v, from.data() + offset, sizeof v);
    return v;
}

/// Numbers stand in 72 bytes, least significant first.
constexpr std::size_t number_bytes = 72;

/// False if the number does not fit.
bool read_number(bytes from, std::size_t offset, p384_number &out)
{
    const bytes digits = from.subspan(offset, number_bytes);
    std::ranges::reverse_copy(digits.first(p384_bytes), out.begin());
    return std::ranges::all_of(digits.subspan(p384_bytes),
                               [](std::byte b) { return b == std::byte{0}; });
}

bool read_key(bytes auth, std::size_t offset, p384_point &key)
{
    return load<std::uint32_t>(auth, offset) == curve_p384 &&
           read_number(auth, offset + 4, key.x) &&
           read_number(auth, offset + 4 + number_bytes, key.y);
}

/// The signature at `signature` by the key at `key` over `data`.
bool is_signed(bytes auth, std::size_t signature, std::size_t key, bytes data)
{
    p384_signature s;
    p384_point k;
    return read_number(auth, signature, s.r) && read_number(auth, signature + number_bytes, s.s) &&
           read_key(auth, key, k) && p384_verify(k, s, sha384(data));
}

firmware_status check_signatures(bytes block, bytes auth, bool author)
{
    const auto algorithm = [auth](std::size_t offset) {
        return load<std::uint32_t>(auth, offset) == ecdsa_p384_sha384;
    };
    if (!algorithm(id_auth::id_key_algorithm) ||
        (author && !algorithm(id_auth::author_key_algorithm))) {
        return firmware_status::invalid_param;
    }
    const bool good = is_signed(auth, id_auth::block_signature, id_auth::id_key, block) &&
                      (!author || is_signed(auth, id_auth::key_signature, id_auth::author_key,
                                            auth.subspan(id_auth::id_key, public_key_bytes)));
    return good ? firmware_status::success : firmware_status::bad_signature;
}

firmware_status check_id_block(const firmware_call &c, const snp_guest &guest, bool author)
{
    std::array<std::byte, id_block_bytes> block;
    std::array<std::byte, id_auth_bytes> auth;
    if (!c.m.memory().read(c.get_address(field::id_block), block.data(), block.size()) ||
        !c.m.memory().read(c.get_address(field::id_auth), auth.data(), auth.size())) {
        return firmware_status::invalid_address;
    }
    if (load<std::uint32_t>(block, id_block::version) != 1) {
        return firmware_status::invalid_param;
    }
    const firmware_status status = check_signatures(block, auth, author);
    if (status != firmware_status::success) {
        return status;
    }
    if (!std::ranges::equal(std::span(block).first(guest.launch_digest.size()),
                            guest.launch_digest)) {
        return firmware_status::bad_measurement;
    }
    return load<std::uint64_t>(block, id_block::policy) == guest.policy
               ? firmware_status::success
               : firmware_status::policy_failure;
}

} // namespace

/// AMD 56860, SNP_LAUNCH_FINISH. Host data, and whether the VCEK may sign, matter to attestation
/// reports only, which nobody can ask for.
firmware_status snp_launch_finish(firmware_call &c)
{
    snp_guest *guest = nullptr;
    firmware_status status = find_guest(c, guest);
    if (status != firmware_status::success) {
        return status;
    }
    if (guest->state != snp_guest_state::launch) {
        return firmware_status::invalid_guest_state;
    }
    const auto flags = c.get<std::uint64_t>(field::flags);
    const bool block = (flags & id_block_enable) != 0, author = (flags & author_key_enable) != 0;
    if ((flags & ~(id_block_enable | author_key_enable | vcek_disable)) != 0 ||
        (author && !block)) {
        return firmware_status::invalid_param;
    }
    if (block) {
        status = check_id_block(c, *guest, author);
    }
    if (status == firmware_status::success) {
        guest->state = snp_guest_state::running;
        c.result.guests.push_back({guest_event::kind::launched, c.get_address(0), guest->asid});
    }
    return status;
}

} // namespace rmpopt::hw
