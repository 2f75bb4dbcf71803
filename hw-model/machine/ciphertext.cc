// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/machine/ciphertext.h"

#include <cstring>

namespace rmpopt::hw
{

namespace
{

/// The output function of SplitMix64 (Steele, Lea, Flood 2014): no two neighbours look alike.
constexpr std::uint64_t mixed(std::uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

} // namespace

void recode(std::uint64_t key, spa_t spa, std::span<std::byte> content)
{
    const std::uint64_t base = mixed(key + 1) + spa;
    for (std::size_t i = 0; i < content.size(); i += sizeof(std::uint64_t)) {
        std::uint64_t word = 0;
        std::memcpy(&word, &content[i], sizeof word);
        word ^= mixed(base + i);
        std::memcpy(&content[i], &word, sizeof word);
    }
}

} // namespace rmpopt::hw
