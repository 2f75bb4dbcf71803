// SPDX-License-Identifier: GPL-2.0-or-later
// On Mbed TLS. Only functions that versions 2.28 (Debian 12) and 3.6 (Debian 13) share.
#include "hw-model/firmware/sev/crypto.h"

#include <cassert>
#include <mbedtls/aes.h>
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

void set_up(mbedtls_md_context_t &context, bool hmac)
{
    mbedtls_md_init(&context);
    check(mbedtls_md_setup(&context, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), hmac ? 1 : 0));
}

} // namespace

void sha256_stream::release::operator()(mbedtls_md_context_t *context) const
{
    mbedtls_md_free(context);
    delete context;
}

sha256_stream::sha256_stream() : context_(new mbedtls_md_context_t)
{
    set_up(*context_, false);
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
    set_up(context, true);
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

} // namespace rmpopt::hw
