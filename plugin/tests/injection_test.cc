// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/injection.h"

#include <gtest/gtest.h>

namespace
{

using rmpopt::injections;
namespace hw = rmpopt::hw;

TEST(injections, nothing_fails_unasked)
{
    injections i;
    EXPECT_FALSE(i.take_psp(0xa0));
    EXPECT_FALSE(i.take_rmpupdate());
}

TEST(injections, so_many_commands_fail)
{
    injections i;
    i.arm_psp(0xa0, 7, 2);
    EXPECT_FALSE(i.take_psp(0xa1)) << "another command";
    EXPECT_EQ(i.take_psp(0xa0), 7);
    EXPECT_EQ(i.take_psp(0xa0), 7);
    EXPECT_FALSE(i.take_psp(0xa0));
}

TEST(injections, so_many_rmpupdates_fail)
{
    injections i;
    i.arm_rmpupdate(hw::rmp_status::fail_overlap, 1);
    EXPECT_EQ(i.take_rmpupdate(), hw::rmp_status::fail_overlap);
    EXPECT_FALSE(i.take_rmpupdate());
}

TEST(injections, zero_takes_back)
{
    injections i;
    i.arm_psp(0xa0, 7, 100);
    i.arm_psp(0xa0, 7, 0);
    EXPECT_FALSE(i.take_psp(0xa0));
    i.arm_rmpupdate(hw::rmp_status::fail_inuse, 5);
    i.arm_rmpupdate(hw::rmp_status::fail_inuse, 0);
    EXPECT_FALSE(i.take_rmpupdate());
}

} // namespace
