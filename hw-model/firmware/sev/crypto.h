// SPDX-License-Identifier: GPL-2.0-or-later
// The algorithms of a SEV launch: SHA-256, HMAC-SHA-256, AES-128 in counter mode. A library does
// the work; nobody else includes its headers.
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

} // namespace rmpopt::hw
