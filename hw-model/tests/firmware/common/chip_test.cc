// SPDX-License-Identifier: GPL-2.0-or-later
// The chip stays the same from one version of the model to the next: reports and sealed data of an
// older one keep their worth.
#include "hw-model/firmware/common/chip.h"

#include <gtest/gtest.h>
#include <span>
#include <string>

namespace rmpopt::hw
{
namespace
{

std::string digits(std::span<const std::byte> bytes)
{
    std::string out;
    for (const std::byte b : bytes) {
        constexpr std::string_view hex = "0123456789abcdef";
        out += hex[static_cast<unsigned>(b) >> 4];
        out += hex[static_cast<unsigned>(b) & 0xf];
    }
    return out;
}

TEST(chip, has_its_id)
{
    EXPECT_EQ(digits(own_chip_id()),
              "18710d154e37a83db9f3a751ce9e4f77b436dd790e65d30445b79e752b2c97c1"
              "4b3b2072ef7ea3e46bb0ab793fba8c063277a91f3c8aa5f096724971cda86d9c");
}

TEST(chip, has_a_key_for_each_tcb_version)
{
    constexpr std::uint64_t tcb = 0x4800000003010901;
    const p384_point key = p384_public_key(versioned_endorsement_key(tcb));
    EXPECT_EQ(digits(key.x), "becae35fb008d51b8f2ad3c4f5d9408d6a8491751823f69ec8e589954adb46f2"
                             "4faaaec376af7ebc1ee92134086ec0c3");
    EXPECT_EQ(digits(key.y), "e2e7906faf0b6696d51c998f5194c80ac7e5d175a441524d69ae75b9ab41666e"
                             "63cb3b329218373cbef6efe0df4a10a4");
    EXPECT_NE(versioned_endorsement_key(tcb), versioned_endorsement_key(tcb - 1));
}

TEST(chip, has_a_root_of_derived_keys)
{
    EXPECT_EQ(digits(chip_root_key()),
              "bbb3edd6954074d49e7258ba7701e8471f4df61362a8a28663ba79625d3afca3"
              "9d23d674a02221e7069170aff7371224");
}

} // namespace
} // namespace rmpopt::hw
