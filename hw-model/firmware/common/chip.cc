// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/firmware/common/chip.h"

#include <algorithm>
#include <span>
#include <string_view>

namespace rmpopt::hw
{

namespace
{

/// Anybody's, not a secret.
constexpr std::string_view chip_secret = "emulated chip of rmpopt, not AMD's";

sha384_digest from_secret(std::string_view purpose, std::uint64_t version)
{
    struct {
        std::array<char, 40> secret{};
        std::array<char, 8> purpose{};
        std::uint64_t version = 0;
    } seed;
    std::ranges::copy(chip_secret, seed.secret.begin());
    std::ranges::copy(purpose, seed.purpose.begin());
    seed.version = version;
    static_assert(sizeof seed == 56);
    return sha384(std::as_bytes(std::span(&seed, 1)));
}

} // namespace

/// Constant, so that two runs give the same; recognisable, so that nobody takes it for a real one.
chip_id own_chip_id()
{
    chip_id id{};
    std::uint64_t x = 0x524d504f5054; // "RMPOPT"
    for (auto &b : id) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        b = static_cast<std::byte>(x >> 56);
    }
    return id;
}

p384_number versioned_endorsement_key(std::uint64_t tcb)
{
    return p384_private_key(from_secret("VCEK", tcb));
}

sha384_digest chip_root_key()
{
    return from_secret("derive", 0);
}

} // namespace rmpopt::hw
