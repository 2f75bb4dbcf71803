// SPDX-License-Identifier: GPL-2.0-or-later
// The algorithms of launch and attestation: SHA-256, HMAC-SHA-256 and AES-128 in counter mode for
// SEV; SHA-384, AES-256-GCM and ECDSA on the curve P-384 for SNP. A library does the work; nobody
// else includes its headers.
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

using aes256_key = std::array<std::byte, 32>;
using gcm_nonce = std::array<std::byte, 12>;
using gcm_tag = std::array<std::byte, 16>;

/// Encrypts `data` in place. The tag authenticates it and `header`, which stays readable.
gcm_tag aes256_gcm_seal(const aes256_key &key, const gcm_nonce &nonce,
                        std::span<const std::byte> header, std::span<std::byte> data);
/// Decrypts `data` in place. False, and `data` is of no use, if it or `header` is not what was
/// sealed with this key and nonce.
bool aes256_gcm_open(const aes256_key &key, const gcm_nonce &nonce,
                     std::span<const std::byte> header, const gcm_tag &tag,
                     std::span<std::byte> data);

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
/// A private key that nobody chose: 48 bytes as a number, modulo the order of the curve.
p384_number p384_private_key(const sha384_digest &material);
p384_point p384_public_key(const p384_number &private_key);
/// The same for the same arguments (RFC 6979).
p384_signature p384_sign(const p384_number &private_key, const sha384_digest &digest);

} // namespace rmpopt::hw
