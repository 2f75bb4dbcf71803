// SPDX-License-Identifier: GPL-2.0-or-later
// On Mbed TLS. Only functions that versions 2.28 (Debian 12) and 3.6 (Debian 13) share.
#include "hw-model/firmware/snp/crypto.h"

#include <algorithm>
#include <cassert>
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

sha384_digest sha384(std::span<const std::byte> data)
{
    sha384_digest digest;
    [[maybe_unused]] const int failed =
        mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA384), raw(data), data.size(),
                   reinterpret_cast<unsigned char *>(digest.data()));
    assert(failed == 0);
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
