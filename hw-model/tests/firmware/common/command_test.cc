// SPDX-License-Identifier: GPL-2.0-or-later
// The helpers that firmware commands are written with.
#include "hw-model/firmware/common/command.h"

#include <gtest/gtest.h>

namespace rmpopt::hw
{

namespace
{

using enum firmware_status;

TEST(in_order, succeeds_when_all_steps_do)
{
    unsigned done = 0;
    EXPECT_EQ(in_order(
                  success, must(true, invalid_param), [&] { ++done; },
                  [&] {
                      ++done;
                      return success;
                  }),
              success);
    EXPECT_EQ(done, 2u);
}

TEST(in_order, returns_the_first_failure_and_takes_no_step_after_it)
{
    unsigned done = 0;
    EXPECT_EQ(in_order([&] { ++done; }, [] { return invalid_length; }, must(false, invalid_param),
                       [&] { ++done; }),
              invalid_length);
    EXPECT_EQ(done, 1u);
    EXPECT_EQ(in_order(must(false, invalid_param), [] { return invalid_length; }), invalid_param);
}

TEST(reserved_zero, looks_at_every_byte_of_every_field)
{
    reserved_bytes<4> a{};
    reserved_bytes<3> b{};
    EXPECT_TRUE(reserved_zero(a, b));
    b[2] = std::byte{1};
    EXPECT_FALSE(reserved_zero(a, b));
    a[0] = std::byte{0x80};
    EXPECT_FALSE(reserved_zero(a));
}

TEST(paddr, drops_the_c_bit)
{
    EXPECT_EQ((paddr{0x1234000 | c_bit}), spa_t{0x1234000});
    EXPECT_EQ(alignof(paddr), 1u);
}

} // namespace

} // namespace rmpopt::hw
