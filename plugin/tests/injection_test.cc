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

TEST(injections, are_parsed)
{
    using kind = rmpopt::injection_request::kind;
    rmpopt::injection_request r;
    EXPECT_EQ(rmpopt::parse_injection("psp:SNP_INIT_EX:3", r), "");
    EXPECT_EQ(r.what, kind::psp);
    EXPECT_EQ(r.command, rmpopt::find_firmware_command("SNP_INIT_EX"));
    EXPECT_EQ(r.status, 3u);
    EXPECT_EQ(r.count, 1u);

    rmpopt::injection_request u;
    EXPECT_EQ(rmpopt::parse_injection("rmpupdate:0xffffffff:1000000000", u), "");
    EXPECT_EQ(u.what, kind::rmpupdate);
    EXPECT_EQ(u.status, 0xffffffffu);
    EXPECT_EQ(u.count, 1'000'000'000u);
}

TEST(injections, what_is_none_is_refused)
{
    for (const char *text :
         {"", ":", "psp", "psp:SNP_INIT_EX", "psp:SNP_INIT_EX:", "psp:SNP_INIT_EX:x",
          "psp:SNP_INIT_EX:0x10000", "psp:SNP_INIT_EX:1:", "psp:SNP_INIT_EX:1:2:3", "psp:NONE:1",
          "psp::1", "rmpupdate", "rmpupdate:", "rmpupdate:0x", "rmpupdate:0x100000000",
          "rmpupdate:-1", "rmpupdate:1:-1", "rmpupdate:1:2:3", "rmpopt-clear:1"}) {
        rmpopt::injection_request r;
        EXPECT_NE(rmpopt::parse_injection(text, r), "") << text;
    }
}

} // namespace
