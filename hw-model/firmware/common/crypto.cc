// SPDX-License-Identifier: GPL-2.0-or-later
// On Mbed TLS. Only functions that versions 2.28 (Debian 12) and 3.6 (Debian 13) share.
#include "hw-model/firmware/common/crypto.h"

#include <algorithm>
#include <cassert>
#include <mbedtls/aes.h>
#include <mbedtls/bignum.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/md.h>

namespace rmpopt::hw
{

namespace
{

const unsigned char *raw(std::span<const std::byte> data)
{
    return reinterpret_cast<const unsigned char *>(data.data());
}
unsigned char *raw_out(std::span<std::byte> data)
{
    return reinterpret_cast<unsigned char *>(data.data());
}

/// The library fails only on wrong arguments or without memory.
void check([[maybe_unused]] int failed)
{
    assert(failed == 0);
}

/// For digests, and with room for the key of an HMAC.
void set_up(mbedtls_md_context_t &context)
{
    mbedtls_md_init(&context);
    check(mbedtls_md_setup(&context, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), 1));
}

/// Gives the library's objects back on every way out.
struct p384_workspace {
    p384_workspace()
    {
        mbedtls_ecp_group_init(&group);
        mbedtls_ecp_point_init(&key);
        mbedtls_mpi_init(&r);
        mbedtls_mpi_init(&s);
    }
    ~p384_workspace()
    {
        mbedtls_mpi_free(&s);
        mbedtls_mpi_free(&r);
        mbedtls_ecp_point_free(&key);
        mbedtls_ecp_group_free(&group);
    }
    p384_workspace(const p384_workspace &) = delete;
    p384_workspace &operator=(const p384_workspace &) = delete;

    mbedtls_ecp_group group;
    mbedtls_ecp_point key;
    mbedtls_mpi r, s;
};

/// SEC 1, 2.3.3: 4, x, y.
std::array<std::byte, 1 + 2 * p384_bytes> uncompressed(const p384_point &p)
{
    std::array<std::byte, 1 + 2 * p384_bytes> out{std::byte{4}};
    std::ranges::copy(p.x, out.begin() + 1);
    std::ranges::copy(p.y, out.begin() + 1 + p384_bytes);
    return out;
}

} // namespace

void sha256_stream::release::operator()(mbedtls_md_context_t *context) const
{
    mbedtls_md_free(context);
    delete context;
}

sha256_stream::sha256_stream() : context_(new mbedtls_md_context_t)
{
    set_up(*context_);
    check(mbedtls_md_starts(context_.get()));
}

void sha256_stream::add(std::span<const std::byte> data)
{
    check(mbedtls_md_update(context_.get(), raw(data), data.size()));
}

sha256_digest sha256_stream::digest() const
{
    const sha256_stream copy;
    check(mbedtls_md_clone(copy.context_.get(), context_.get()));
    sha256_digest out;
    check(mbedtls_md_finish(copy.context_.get(), raw_out(std::span(out))));
    return out;
}

sha256_digest hmac_sha256(const aes128_block &key,
                          std::initializer_list<std::span<const std::byte>> pieces)
{
    mbedtls_md_context_t context;
    set_up(context);
    check(mbedtls_md_hmac_starts(&context, raw(std::span(key)), key.size()));
    for (const auto &piece : pieces) {
        check(mbedtls_md_hmac_update(&context, raw(piece), piece.size()));
    }
    sha256_digest out;
    check(mbedtls_md_hmac_finish(&context, raw_out(std::span(out))));
    mbedtls_md_free(&context);
    return out;
}

void aes128_ctr(const aes128_block &key, aes128_block counter, std::span<std::byte> data)
{
    mbedtls_aes_context context;
    mbedtls_aes_init(&context);
    check(mbedtls_aes_setkey_enc(&context, raw(std::span(key)), 128));
    std::size_t used = 0;
    aes128_block stream{};
    check(mbedtls_aes_crypt_ctr(&context, data.size(), &used, raw_out(std::span(counter)),
                                raw_out(std::span(stream)), raw(data), raw_out(data)));
    mbedtls_aes_free(&context);
}

sha384_digest sha384(std::span<const std::byte> data)
{
    sha384_digest digest;
    check(mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA384), raw(data), data.size(),
                     raw_out(std::span(digest))));
    return digest;
}

bool p384_verify(const p384_point &key, const p384_signature &signature,
                 const sha384_digest &digest)
{
    p384_workspace w;
    const auto point = uncompressed(key);
    return mbedtls_ecp_group_load(&w.group, MBEDTLS_ECP_DP_SECP384R1) == 0 &&
           mbedtls_ecp_point_read_binary(&w.group, &w.key, raw(point), point.size()) == 0 &&
           mbedtls_ecp_check_pubkey(&w.group, &w.key) == 0 &&
           mbedtls_mpi_read_binary(&w.r, raw(signature.r), p384_bytes) == 0 &&
           mbedtls_mpi_read_binary(&w.s, raw(signature.s), p384_bytes) == 0 &&
           mbedtls_ecdsa_verify(&w.group, raw(digest), digest.size(), &w.key, &w.r, &w.s) == 0;
}

} // namespace rmpopt::hw
