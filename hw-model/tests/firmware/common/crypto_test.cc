// SPDX-License-Identifier: GPL-2.0-or-later
// The library's algorithms against published test vectors: what they are called says little about
// the order of bytes and the length of nonces.
#include "hw-model/firmware/common/crypto.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <vector>

namespace rmpopt::hw
{
namespace
{

std::vector<std::byte> bytes(std::string_view digits)
{
    std::vector<std::byte> out;
    for (std::size_t i = 0; i < digits.size(); i += 2) {
        const auto value = std::stoul(std::string(digits.substr(i, 2)), nullptr, 16);
        out.push_back(static_cast<std::byte>(value));
    }
    return out;
}
template <class Array> Array array(std::string_view digits)
{
    Array out{};
    const auto from = bytes(digits);
    EXPECT_EQ(from.size(), out.size());
    std::ranges::copy(from, out.begin());
    return out;
}

// The Galois/Counter Mode of Operation (McGrew, Viega), test case 16.
class gcm : public testing::Test
{
  protected:
    const aes256_key key = array<aes256_key>("feffe9928665731c6d6a8f9467308308"
                                             "feffe9928665731c6d6a8f9467308308");
    const gcm_nonce nonce = array<gcm_nonce>("cafebabefacedbaddecaf888");
    const gcm_tag tag = array<gcm_tag>("76fc6ece0f4e1768cddf8853bb2d551b");
    const std::vector<std::byte> header = bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    const std::vector<std::byte> plain =
        bytes("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
              "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
    const std::vector<std::byte> sealed =
        bytes("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
              "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662");
};

TEST_F(gcm, seals_and_opens)
{
    auto data = plain;
    EXPECT_EQ(aes256_gcm_seal(key, nonce, header, data), tag);
    EXPECT_EQ(data, sealed);
    EXPECT_TRUE(aes256_gcm_open(key, nonce, header, tag, data));
    EXPECT_EQ(data, plain);
}

TEST_F(gcm, opens_nothing_that_was_changed)
{
    const auto opens = [this](auto change) {
        auto k = key;
        auto n = nonce;
        auto t = tag;
        auto h = header;
        auto data = sealed;
        change(k, n, t, h, data);
        return aes256_gcm_open(k, n, h, t, data);
    };
    EXPECT_TRUE(opens([](auto &...) {}));
    EXPECT_FALSE(opens([](auto &k, auto &, auto &, auto &, auto &) { k[31] ^= std::byte{1}; }));
    EXPECT_FALSE(opens([](auto &, auto &n, auto &, auto &, auto &) { n[11] ^= std::byte{1}; }));
    EXPECT_FALSE(opens([](auto &, auto &, auto &t, auto &, auto &) { t[15] ^= std::byte{1}; }));
    EXPECT_FALSE(opens([](auto &, auto &, auto &, auto &h, auto &) { h[19] ^= std::byte{1}; }));
    EXPECT_FALSE(opens([](auto &, auto &, auto &, auto &, auto &d) { d[59] ^= std::byte{1}; }));
}

// RFC 6979, A.2.6: P-384 with SHA-384, message "sample".
constexpr std::string_view rfc_key =
    "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d8"
    "96d5724e4c70a825f872c9ea60d2edf5";

TEST(p384, signs_as_the_rfc_does)
{
    const auto key = array<p384_number>(rfc_key);
    const p384_point public_key = p384_public_key(key);
    EXPECT_EQ(public_key.x,
              array<p384_number>("ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64"
                                 "def8f0ea9055866064a254515480bc13"));
    EXPECT_EQ(public_key.y,
              array<p384_number>("8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1"
                                 "288b231c3ae0d4fe7344fd2533264720"));
    constexpr std::string_view sample = "sample";
    const sha384_digest digest = sha384(std::as_bytes(std::span(sample)));
    const p384_signature signature = p384_sign(key, digest);
    EXPECT_EQ(signature.r,
              array<p384_number>("94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c"
                                 "81a648152e44acf96e36dd1e80fabe46"));
    EXPECT_EQ(signature.s,
              array<p384_number>("99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94f"
                                 "a329c145786e679e7b82c71a38628ac8"));
    EXPECT_TRUE(p384_verify(public_key, signature, digest));
}

TEST(p384, private_keys_are_below_the_order)
{
    EXPECT_EQ(p384_private_key(array<sha384_digest>(rfc_key)), array<p384_number>(rfc_key));
    sha384_digest ones;
    ones.fill(std::byte{0xff});
    EXPECT_EQ(p384_private_key(ones), // 2^384 - 1 - n
              array<p384_number>("000000000000000000000000000000000000000000000000389cb27e0bc8d220"
                                 "a7e5f24db74f58851313e695333ad68c"));
}

} // namespace
} // namespace rmpopt::hw
