// SPDX-License-Identifier: GPL-2.0-or-later
// SEV certificates (AMD 55766, appendix C: SEV certificate format). Their structure is right, their
// content is not: keys and signatures are readable text, and no key is a point of any curve. Nobody
// can verify them, and nobody can take them for real ones.
#pragma once

#include "hw-model/firmware/common/state.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace rmpopt::hw
{

inline constexpr std::size_t cert_bytes = std::tuple_size_v<sev_cert>;

/// What a key is for: field of certificates.
enum class key_usage : std::uint32_t {
    ask = 0x13,
    invalid = 0x1000, ///< no signature
    oca = 0x1001,
    pek = 0x1002,
    pdh = 0x1003,
    cek = 0x1004,
};

/// Offsets of fields, all little endian.
namespace cert_field
{
inline constexpr std::size_t version = 0, api_major = 4, api_minor = 5, key_usage = 8,
                             key_algorithm = 12, public_key = 16, signature_1 = 0x414,
                             signature_2 = 0x61c;
inline constexpr std::size_t public_key_bytes = signature_1 - public_key;
} // namespace cert_field

/// The certificate of a key. `generation` tells keys apart that follow each other; a signer
/// key_usage::invalid leaves the signature out.
sev_cert make_cert(const firmware_version &api, key_usage key, std::uint32_t generation,
                   key_usage signer_1, key_usage signer_2);

/// Version and use of the key are as they must be.
bool is_cert_for(const sev_cert &cert, key_usage usage);
bool is_same_key(const sev_cert &a, const sev_cert &b);

} // namespace rmpopt::hw
