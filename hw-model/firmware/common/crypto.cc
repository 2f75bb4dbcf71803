// SPDX-License-Identifier: GPL-2.0-or-later
// On Mbed TLS. Only functions that versions 2.28 (Debian 12) and 3.6 (Debian 13) share.
#include "hw-model/firmware/common/crypto.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <mbedtls/aes.h>
#include <mbedtls/bignum.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/gcm.h>
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
struct gcm_workspace {
    explicit gcm_workspace(const aes256_key &key)
    {
        mbedtls_gcm_init(&context);
        check(mbedtls_gcm_setkey(&context, MBEDTLS_CIPHER_ID_AES, raw(key), 256));
    }
    ~gcm_workspace() { mbedtls_gcm_free(&context); }
    gcm_workspace(const gcm_workspace &) = delete;
    gcm_workspace &operator=(const gcm_workspace &) = delete;

    mbedtls_gcm_context context;
};

struct p384_workspace {
    p384_workspace()
    {
        mbedtls_ecp_group_init(&group);
        mbedtls_ecp_point_init(&key);
        mbedtls_mpi_init(&secret);
        mbedtls_mpi_init(&r);
        mbedtls_mpi_init(&s);
    }
    ~p384_workspace()
    {
        mbedtls_mpi_free(&s);
        mbedtls_mpi_free(&r);
        mbedtls_mpi_free(&secret);
        mbedtls_ecp_point_free(&key);
        mbedtls_ecp_group_free(&group);
    }
    p384_workspace(const p384_workspace &) = delete;
    p384_workspace &operator=(const p384_workspace &) = delete;

    mbedtls_ecp_group group;
    mbedtls_ecp_point key;
    mbedtls_mpi secret, r, s;
};

/// SEC 1, 2.3.3: 4, x, y.
using uncompressed_point = std::array<std::byte, 1 + 2 * p384_bytes>;

uncompressed_point uncompressed(const p384_point &p)
{
    uncompressed_point out{std::byte{4}};
    std::ranges::copy(p.x, out.begin() + 1);
    std::ranges::copy(p.y, out.begin() + 1 + p384_bytes);
    return out;
}

p384_number number(const mbedtls_mpi &from)
{
    p384_number out;
    check(mbedtls_mpi_write_binary(&from, raw_out(std::span(out)), out.size()));
    return out;
}

/// The library blinds its calculations with random numbers against those who measure their time.
/// Secrets of the model are none, and results do not depend on the blinding.
int unblinded(void *, unsigned char *out, std::size_t bytes)
{
    std::memset(out, 1, bytes);
    return 0;
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

gcm_tag aes256_gcm_seal(const aes256_key &key, const gcm_nonce &nonce,
                        std::span<const std::byte> header, std::span<std::byte> data)
{
    gcm_workspace w(key);
    gcm_tag tag;
    check(mbedtls_gcm_crypt_and_tag(&w.context, MBEDTLS_GCM_ENCRYPT, data.size(), raw(nonce),
                                    nonce.size(), raw(header), header.size(), raw(data),
                                    raw_out(data), tag.size(), raw_out(std::span(tag))));
    return tag;
}

bool aes256_gcm_open(const aes256_key &key, const gcm_nonce &nonce,
                     std::span<const std::byte> header, const gcm_tag &tag,
                     std::span<std::byte> data)
{
    gcm_workspace w(key);
    return mbedtls_gcm_auth_decrypt(&w.context, data.size(), raw(nonce), nonce.size(), raw(header),
                                    header.size(), raw(tag), tag.size(), raw(data),
                                    raw_out(data)) == 0;
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

p384_number p384_private_key(const sha384_digest &material)
{
    p384_workspace w;
    check(mbedtls_ecp_group_load(&w.group, MBEDTLS_ECP_DP_SECP384R1));
    check(mbedtls_mpi_read_binary(&w.r, raw(material), material.size()));
    check(mbedtls_mpi_mod_mpi(&w.secret, &w.r, &w.group.N));
    return number(w.secret);
}

p384_point p384_public_key(const p384_number &private_key)
{
    p384_workspace w;
    check(mbedtls_ecp_group_load(&w.group, MBEDTLS_ECP_DP_SECP384R1));
    check(mbedtls_mpi_read_binary(&w.secret, raw(private_key), private_key.size()));
    check(mbedtls_ecp_mul(&w.group, &w.key, &w.secret, &w.group.G, unblinded, nullptr));
    uncompressed_point binary;
    std::size_t written = 0;
    check(mbedtls_ecp_point_write_binary(&w.group, &w.key, MBEDTLS_ECP_PF_UNCOMPRESSED, &written,
                                         raw_out(std::span(binary)), binary.size()));
    p384_point out;
    std::copy_n(binary.begin() + 1, p384_bytes, out.x.begin());
    std::copy_n(binary.begin() + 1 + p384_bytes, p384_bytes, out.y.begin());
    return out;
}

p384_signature p384_sign(const p384_number &private_key, const sha384_digest &digest)
{
    p384_workspace w;
    check(mbedtls_ecp_group_load(&w.group, MBEDTLS_ECP_DP_SECP384R1));
    check(mbedtls_mpi_read_binary(&w.secret, raw(private_key), private_key.size()));
    check(mbedtls_ecdsa_sign_det_ext(&w.group, &w.r, &w.s, &w.secret, raw(digest), digest.size(),
                                     MBEDTLS_MD_SHA384, unblinded, nullptr));
    return {.r = number(w.r), .s = number(w.s)};
}

} // namespace rmpopt::hw
