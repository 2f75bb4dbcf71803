// SPDX-License-Identifier: GPL-2.0-or-later
// The certificates of the model: see certificate.h for what they are worth.
#include "hw-model/firmware/sev/certificate.h"

#include <string_view>

namespace rmpopt::hw
{

namespace
{

constexpr std::uint32_t cert_version = 1;
constexpr std::uint32_t curve_p384 = 2;
constexpr std::uint32_t ecdsa_sha256 = 2, ecdh_sha256 = 3, rsa_sha384 = 0x101;
constexpr std::size_t coordinate_bytes = 72; ///< Qx and Qy of a key, R and S of a signature

template <class T> void put(sev_cert &cert, std::size_t offset, T value)
{
    std::memcpy(cert.data() + offset, &value, sizeof value);
}

template <class T> T get(const sev_cert &cert, std::size_t offset)
{
    T value;
    std::memcpy(&value, cert.data() + offset, sizeof value);
    return value;
}

/// Fits a P-384 number (48 bytes) and is none that a curve has.
void put_text(sev_cert &cert, std::size_t offset, std::string_view text)
{
    std::memcpy(cert.data() + offset, text.data(), text.size());
}

/// Algorithm of the signatures that a key makes.
std::uint32_t algorithm_of(key_usage key)
{
    switch (key) {
    case key_usage::ask:
        return rsa_sha384;
    case key_usage::pdh:
        return ecdh_sha256;
    case key_usage::invalid:
        return 0;
    default:
        return ecdsa_sha256;
    }
}

/// Curve, Qx, Qy. Qy tells whose key it is and which generation.
void put_key(sev_cert &cert, key_usage key, std::uint32_t generation)
{
    constexpr std::size_t qx = cert_field::public_key + 4, qy = qx + coordinate_bytes;
    put(cert, cert_field::public_key, curve_p384);
    put_text(cert, qx, "rmpopt model: this is not a key");
    put(cert, qy, static_cast<std::uint32_t>(key));
    put(cert, qy + 4, generation);
}

void put_signature(sev_cert &cert, std::size_t offset, key_usage signer)
{
    put(cert, offset, static_cast<std::uint32_t>(signer));
    put(cert, offset + 4, algorithm_of(signer));
    if (signer != key_usage::invalid) {
        put_text(cert, offset + 8, "rmpopt model: this is not a signature");
    }
}

} // namespace

sev_cert make_cert(const firmware_version &api, key_usage key, std::uint32_t generation,
                   key_usage signer_1, key_usage signer_2)
{
    sev_cert cert{};
    put(cert, cert_field::version, cert_version);
    put(cert, cert_field::api_major, api.major);
    put(cert, cert_field::api_minor, api.minor);
    put(cert, cert_field::key_usage, static_cast<std::uint32_t>(key));
    put(cert, cert_field::key_algorithm, algorithm_of(key));
    put_key(cert, key, generation);
    put_signature(cert, cert_field::signature_1, signer_1);
    put_signature(cert, cert_field::signature_2, signer_2);
    return cert;
}

bool is_cert_for(const sev_cert &cert, key_usage usage)
{
    return get<std::uint32_t>(cert, cert_field::version) == cert_version &&
           get<std::uint32_t>(cert, cert_field::key_usage) == static_cast<std::uint32_t>(usage);
}

bool is_same_key(const sev_cert &a, const sev_cert &b)
{
    return std::memcmp(a.data() + cert_field::public_key, b.data() + cert_field::public_key,
                       cert_field::public_key_bytes) == 0;
}

} // namespace rmpopt::hw
