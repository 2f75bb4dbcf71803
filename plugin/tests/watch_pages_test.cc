// SPDX-License-Identifier: GPL-2.0-or-later
// RMPUPDATEs that fail, writes that fault, pages and contexts that are left behind.
#include "watch_fixture.h"

namespace rmpopt
{

namespace
{

using watch_pages_test = watch_fixture;

TEST_F(watch_pages_test, the_same_failure_again_and_again)
{
    bring_up();
    launch_guest(7, {64 * mb});
    rmpupdate(0, 64 * mb + 4096, immutable(guest_page()));
    for (int i = 0; i < 2; ++i) {
        rmpupdate(0, 64 * mb + 4096, {});
    }
    EXPECT_EQ(ids(), list{});
    rmpupdate(0, 64 * mb + 4096, {});
    EXPECT_EQ(ids(), list{"rmp-retry"});
}

TEST_F(watch_pages_test, failures_with_a_success_between_them)
{
    bring_up();
    rmpupdate(0, 64 * mb + 4096, immutable(guest_page()));
    for (int i = 0; i < 6; ++i) {
        rmpupdate(0, 64 * mb + 4096, {});
        rmpupdate(0, 64 * mb + 8192, i % 2 == 0 ? guest_page() : hw::rmp_record{});
    }
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_pages_test, a_busy_page_may_be_tried_often)
{
    bring_up();
    for (int i = 0; i < 999; ++i) {
        w->psmash(on(0), 64 * mb, hw::rmp_status::fail_overlap);
    }
    EXPECT_EQ(ids(), list{});
    w->psmash(on(0), 64 * mb, hw::rmp_status::fail_overlap);
    EXPECT_EQ(ids(), list{"rmp-retry"});
    EXPECT_EQ(only().what, "PSMASH of 0x4000000 failed 1000 times in a row with FAIL_OVERLAP");
}

TEST_F(watch_pages_test, host_write)
{
    bring_up();
    w->write_refused(on(1), 64 * mb + 8, hw::rmp_rule::hypervisor_owned);
    w->write_refused(on(1), 64 * mb + 16, hw::rmp_rule::hypervisor_owned);
    w->write_refused(on(1), std::nullopt, hw::rmp_rule::hypervisor_owned);
    EXPECT_EQ(ids(), (list{"host-write", "host-write"}));
}

TEST_F(watch_pages_test, pages_leaked)
{
    bring_up();
    launch_guest(7, {64 * mb, 65 * mb, region_2});
    decommission(7);
    rmpupdate(0, 65 * mb, {});
    wait(bound - 1);
    EXPECT_EQ(ids(), list{});
    wait(2);
    EXPECT_EQ(ids(), list{"pages-leaked"});
    EXPECT_EQ(only().what,
              "2 pages from 0x4000000 on still belong to the guest with ASID 7, which has ended");
}

TEST_F(watch_pages_test, an_asid_may_live_again)
{
    bring_up();
    launch_guest(7, {64 * mb});
    decommission(7);
    rmpupdate(0, 64 * mb, {});
    launch_guest(7, {64 * mb});
    wait(10 * bound);
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_pages_test, a_context_page_left_with_firmware)
{
    bring_up();
    hw::rmp_record page;
    page.assigned = page.immutable = true;
    rmpupdate(0, 64 * mb, page);
    firmware.contexts = {64 * mb};
    launch_guest(7, {});
    firmware.contexts = {};
    decommission(7);
    pass({0, 2});
    wait(bound + 1);
    EXPECT_EQ(ids(), list{"firmware-pages-left"});
    EXPECT_EQ(only().spa, 64 * mb);
}

TEST_F(watch_pages_test, firmware_pages_of_a_platform_that_lives_are_fine)
{
    bring_up();
    hw::rmp_record page;
    page.assigned = page.immutable = true;
    rmpupdate(0, 64 * mb, page);
    launch_guest(7, {});
    decommission(7);
    pass({0, 2});
    wait(10 * bound);
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_pages_test, firmware_pages_left_after_shutdown)
{
    bring_up();
    hw::rmp_record page;
    page.assigned = true;
    rmpupdate(0, 64 * mb, page);
    firmware.snp_init = false;
    command(hw::firmware_command::snp_shutdown_ex);
    wait(bound + 1);
    EXPECT_EQ(ids(), list{"firmware-pages-left"});
}

} // namespace

} // namespace rmpopt
