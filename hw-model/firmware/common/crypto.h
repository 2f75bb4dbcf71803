// SPDX-License-Identifier: GPL-2.0-or-later
// The algorithms of a launch: SHA-256, HMAC-SHA-256 and AES-128 in counter mode for SEV; SHA-384
// and ECDSA on the curve P-384 for SNP. A library does the work; nobody else includes its headers.
//
// Thread-safety: functions without state; a stream is for one thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>

struct mbedtls_md_context_t;

namespace rmpopt::hw
{

using sha256_digest = std::array<std::byte, 32>;
using sha384_digest = std::array<std::byte, 48>;
using aes128_block = std::array<std::byte, 16>;

/// A digest over what comes piece by piece.
class sha256_stream
{
  public:
    sha256_stream();

    void add(std::span<const std::byte> data);
    /// Of all that was added so far; more may follow.
    sha256_digest digest() const;

  private:
    struct release {
        void operator()(mbedtls_md_context_t *context) const;
    };
    std::unique_ptr<mbedtls_md_context_t, release> context_;
};

/// Of the pieces one after the other.
sha256_digest hmac_sha256(const aes128_block &key,
                          std::initializer_list<std::span<const std::byte>> pieces);

/// Encrypts or decrypts `data` in place.
void aes128_ctr(const aes128_block &key, aes128_block counter, std::span<std::byte> data);

sha384_digest sha384(std::span<const std::byte> data);

/// Length of a coordinate of the curve.
inline constexpr std::size_t p384_bytes = 48;
/// A number below 2^384, most significant byte first.
using p384_number = std::array<std::byte, p384_bytes>;

struct p384_point {
    p384_number x{}, y{};
};
struct p384_signature {
    p384_number r{}, s{};
};

/// False also for a key that is no point of the curve.
bool p384_verify(const p384_point &key, const p384_signature &signature,
                 const sha384_digest &digest);

} // namespace rmpopt::hw
