// SPDX-License-Identifier: GPL-2.0-or-later
// Regions that could be optimised and are not.
#include "watch_fixture.h"

namespace rmpopt
{

namespace
{

using watch_lost_test = watch_fixture;

TEST_F(watch_lost_test, no_pass_after_a_guest)
{
    bring_up();
    launch_guest(7, {64 * mb});
    decommission(7);
    rmpupdate(0, 64 * mb, {});
    wait(bound);
    EXPECT_EQ(ids(), list{});
    wait(guest_second);
    EXPECT_EQ(ids(), list{"lost-optimisation"});
    EXPECT_EQ(only().what, "the region at 0 GiB has no assigned pages, but is not optimised on "
                           "CPUs 0-3: the last RMPOPT came before the region's last change");
}

// Region 1 of this machine has no RAM, region 2 is the last one.

TEST_F(watch_lost_test, what_the_kernel_leaves_alone_is_not_lost)
{
    mapped = {true, false, false};
    initialise_snp();
    enable({0, 2});
    EXPECT_EQ(w->unmapped(), (std::vector<std::size_t>{1, 2}));
    rmpopt(0, region_0);
    rmpopt(2, region_0);
    wait(bound + guest_second);
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_lost_test, a_gap_below_what_the_kernel_maps_is_lost)
{
    mapped = {true, false, true};
    initialise_snp();
    enable({0, 2});
    EXPECT_EQ(w->unmapped(), std::vector<std::size_t>{});
    for (const unsigned cpu : {0, 2}) {
        rmpopt(cpu, region_0);
        rmpopt(cpu, region_2);
    }
    wait(bound + guest_second);
    EXPECT_EQ(only().what, "the region at 1 GiB has no assigned pages, but is not optimised on "
                           "CPUs 0-3: no pass since SNP_INIT or since RMPOPT was enabled");
}

TEST_F(watch_lost_test, ram_that_is_not_mapped_is_left_alone_wherever_it_is)
{
    mapped = {false, false, true};
    initialise_snp();
    enable({0, 2});
    EXPECT_EQ(w->unmapped(), (std::vector<std::size_t>{0}));
}

TEST_F(watch_lost_test, a_kernel_maps_the_rmp_and_that_does_not_count)
{
    is_asked_for = [this](const hw::memory_view &memory) {
        for (const hw::spa_range &part : m->rmp().table_memory()) {
            EXPECT_EQ(memory.at(part.base, 1), nullptr);
            EXPECT_EQ(memory.at(part.end() - 1, 1), nullptr);
            EXPECT_NE(memory.at(part.base - 1, 1), nullptr);
        }
        EXPECT_NE(memory.at(low_2m, hw::page_2m), nullptr);
        EXPECT_NE(memory.at(high_2m, hw::page_2m), nullptr);
    };
    initialise_snp();
    enable({0, 2});
}

TEST_F(watch_lost_test, the_next_kernel_may_map_more)
{
    mapped = {true, false, false};
    bring_up();
    mapped = {true, true, true};
    wait(guest_second);
    enable({0, 2});
    EXPECT_EQ(w->unmapped().size(), 2u) << "still the same round of writes";
    wait(3 * guest_second);
    enable({0, 2});
    EXPECT_EQ(w->unmapped().size(), 0u);
    mapped = {true, false, false};
    w->reset();
    EXPECT_EQ(w->unmapped().size(), 0u);
    set_snp_en();
    enable({0, 2});
    EXPECT_EQ(w->unmapped().size(), 2u);
}

TEST_F(watch_lost_test, a_reset_of_the_secure_processor_ends_its_guests)
{
    bring_up();
    launch_guest(7, {64 * mb});
    wait(bound);
    EXPECT_EQ(ids(), list{});
    firmware = {};
    w->firmware_reset({.guests = guest_events(), .snp_init = false, .own_memory = firmware.memory});
    wait(bound + guest_second);
    EXPECT_EQ(ids(), list{"pages-leaked"});
}

TEST_F(watch_lost_test, another_base_forgets_the_last_pass)
{
    begin({.rmpopt_locked = hw::choice::rmpopt_locked::allow,
           .msr_rewrite = hw::choice::msr_rewrite::keep});
    bring_up();
    enable({0, 2}, hw::region_1g);
    enable({0, 2}, 0);
    wait(bound + guest_second);
    EXPECT_EQ(only().what, "the regions at 0-2 GiB have no assigned pages, but are not optimised "
                           "on CPUs 0-3: no pass since SNP_INIT or since RMPOPT was enabled");
}

TEST_F(watch_lost_test, a_pass_that_ran_too_early)
{
    bring_up();
    launch_guest(7, {64 * mb});
    decommission(7);
    wait(10 * guest_second);
    pass({0, 2});
    rmpupdate(0, 64 * mb, {});
    wait(bound + guest_second);
    EXPECT_EQ(ids(), (list{"pass-during-teardown", "lost-optimisation"}));
}

TEST_F(watch_lost_test, a_core_left_out)
{
    initialise_snp();
    enable({0, 2});
    pass({0});
    wait(bound + guest_second);
    EXPECT_EQ(ids(), list{"lost-optimisation"});
    EXPECT_EQ(only().what,
              "the regions at 0-2 GiB have no assigned pages, but are not optimised on CPUs 2-3: "
              "left out of every pass");
}

TEST_F(watch_lost_test, no_pass_after_initialising_again)
{
    bring_up();
    command(hw::firmware_command::snp_shutdown_ex);
    {
        const std::scoped_lock lock(m->rmp_lock());
        m->clear_rmpopt_tables();
    }
    command(hw::firmware_command::snp_init_ex);
    enable({0, 2});
    wait(bound + guest_second);
    EXPECT_EQ(ids(), list{"lost-optimisation"});
    EXPECT_NE(only().what.find("no pass since SNP_INIT"), std::string::npos) << only().what;
}

TEST_F(watch_lost_test, no_pass_after_initialising_again_with_rmpopt_left_on)
{
    bring_up();
    command(hw::firmware_command::snp_shutdown_ex);
    {
        const std::scoped_lock lock(m->rmp_lock());
        m->clear_rmpopt_tables();
    }
    command(hw::firmware_command::snp_init_ex);
    wait(bound + guest_second);
    EXPECT_EQ(ids(), list{"lost-optimisation"});
}

TEST_F(watch_lost_test, regions_beyond_the_window)
{
    initialise_snp();
    enable({0, 2}, region_1);
    pass({0, 2});
    wait(bound + guest_second);
    EXPECT_EQ(ids(), list{"lost-optimisation"});
    EXPECT_NE(only().what.find("the window of RMPOPT_BASE 0x40000000 does not reach it"),
              std::string::npos)
        << only().what;
}

TEST_F(watch_lost_test, nothing_is_lost_while_another_guest_lives)
{
    bring_up();
    launch_guest(7, {64 * mb});
    launch_guest(8, {region_2 + 64 * mb});
    decommission(7);
    rmpupdate(0, 64 * mb, {});
    wait(10 * bound);
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_lost_test, nothing_is_lost_where_pages_are_assigned)
{
    bring_up();
    hw::rmp_record firmware_page;
    firmware_page.assigned = firmware_page.immutable = true;
    rmpupdate(0, 64 * mb, firmware_page);
    pass({0, 2});
    wait(10 * bound);
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_lost_test, nothing_is_lost_where_hardware_says_no)
{
    hw::policy p;
    p.uncovered_region = hw::choice::uncovered_region::cf0; // the hole has no entries
    begin(p);
    bring_up();
    ASSERT_FALSE(rmpopt(0, region_1, 1));
    wait(10 * bound);
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_lost_test, nothing_is_lost_after_shutdown)
{
    bring_up();
    firmware.snp_init = false;
    firmware.memory = m->rmp().table_memory();
    command(hw::firmware_command::snp_shutdown_ex);
    m->clear_rmpopt_tables();
    wait(10 * bound);
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_lost_test, nothing_is_lost_after_reset)
{
    bring_up();
    m->reset();
    w->reset();
    wait(10 * bound);
    EXPECT_EQ(ids(), list{});
}

} // namespace

} // namespace rmpopt
