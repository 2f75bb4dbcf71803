// SPDX-License-Identifier: GPL-2.0-or-later
// SNP_LAUNCH_FINISH: the guest owner's ID block, with its signatures, against what was launched.
#include "hw-model/firmware/snp/ecdsa.h"
#include "hw-model/firmware/snp/snp.h"

#include <cstddef>

namespace rmpopt::hw
{

namespace
{

#pragma pack(push, 1)

struct ecdsa_public_key {
    std::uint32_t curve;
    ecdsa_number qx, qy;
    std::array<std::byte, 880> unused;
};
static_assert(sizeof(ecdsa_public_key) == 1028);

/// AMD 56860, SNP_LAUNCH_FINISH: ID block.
struct id_block {
    sha384_digest ld; ///< the launch digest that the owner expects
    std::array<std::byte, 16> family_id, image_id;
    std::uint32_t version;
    std::uint32_t guest_svn;
    std::uint64_t policy;
};
static_assert(sizeof(id_block) == 96);

/// AMD 56860, SNP_LAUNCH_FINISH: ID authentication information.
struct id_auth_info {
    std::uint32_t id_key_algo, auth_key_algo;
    std::array<std::byte, 56> reserved_08;
    ecdsa_signature id_block_sig;
    ecdsa_public_key id_key;
    std::array<std::byte, 60> reserved_644;
    ecdsa_signature id_key_sig;
    ecdsa_public_key author_key;
    std::array<std::byte, 892> reserved_c84;
};
static_assert(offsetof(id_auth_info, id_block_sig) == 0x40 &&
              offsetof(id_auth_info, id_key) == 0x240 &&
              offsetof(id_auth_info, id_key_sig) == 0x680 &&
              offsetof(id_auth_info, author_key) == 0x880 && sizeof(id_auth_info) == page_4k);

#pragma pack(pop)

constexpr std::uint32_t ecdsa_p384_sha384 = 1, curve_p384 = 2;

/// The signature is one by `key` over `data`.
bool is_signed(const ecdsa_signature &signature, const ecdsa_public_key &key,
               std::span<const std::byte> data)
{
    p384_signature s;
    p384_point k;
    return read_number(signature.r, s.r) && read_number(signature.s, s.s) &&
           key.curve == curve_p384 && read_number(key.qx, k.x) && read_number(key.qy, k.y) &&
           p384_verify(k, s, sha384(data));
}

template <class T> std::span<const std::byte> bytes_of(const T &structure)
{
    return std::as_bytes(std::span(&structure, 1));
}

firmware_status check_signatures(const id_block &block, const id_auth_info &auth, bool author)
{
    const bool known_algorithms = auth.id_key_algo == ecdsa_p384_sha384 &&
                                  (!author || auth.auth_key_algo == ecdsa_p384_sha384);
    return in_order(must(known_algorithms, invalid_param), [&] {
        return must(
            is_signed(auth.id_block_sig, auth.id_key, bytes_of(block)) &&
                (!author || is_signed(auth.id_key_sig, auth.author_key, bytes_of(auth.id_key))),
            bad_signature);
    });
}

snp_identity identity_of(const id_block &block, const id_auth_info &auth, bool author)
{
    return {.family_id = block.family_id,
            .image_id = block.image_id,
            .guest_svn = block.guest_svn,
            .has_author = author,
            .id_key_digest = sha384(bytes_of(auth.id_key)),
            .author_key_digest = author ? sha384(bytes_of(auth.author_key)) : sha384_digest{}};
}

firmware_status check_id_block(const firmware_call &c, const snp_launch_finish_buffer &b,
                               const snp_guest &guest, bool author, snp_identity &identity)
{
    id_block block;
    id_auth_info auth;
    const bool read = c.m.memory().read(b.id_block_paddr, &block, sizeof block) &&
                      c.m.memory().read(b.id_auth_paddr, &auth, sizeof auth);
    return in_order(
        must(read, invalid_address), [&] { return must(block.version == 1, invalid_param); },
        [&] { return check_signatures(block, auth, author); },
        [&] { return must(block.ld == guest.launch_digest, bad_measurement); },
        [&] { return must(block.policy == guest.policy, policy_failure); },
        [&] { identity = identity_of(block, auth, author); });
}

} // namespace

/// AMD 56860, SNP_LAUNCH_FINISH.
firmware_status snp_launch_finish(firmware_call &c, const snp_launch_finish_buffer &b)
{
    const bool block = (b.flags & b.id_block_en) != 0, author = (b.flags & b.auth_key_en) != 0;
    const std::uint64_t known_flags = b.id_block_en | b.auth_key_en | b.vcek_dis;
    const spa_t context = b.gctx_paddr;
    snp_guest *guest = nullptr;
    snp_identity identity;
    return in_order(
        [&] { return find_guest(c, context, guest); },
        [&] { return must(guest->state == snp_guest_state::launch, invalid_guest_state); },
        must((b.flags & ~known_flags) == 0 && (block || !author), invalid_param),
        [&] { return block ? check_id_block(c, b, *guest, author, identity) : success; },
        [&] {
            guest->state = snp_guest_state::running;
            guest->identity = identity;
            guest->host_data = b.host_data;
            guest->vcek_disabled = (b.flags & b.vcek_dis) != 0;
            c.result.guests.push_back({guest_event::kind::launched, context, guest->asid});
        });
}

} // namespace rmpopt::hw
