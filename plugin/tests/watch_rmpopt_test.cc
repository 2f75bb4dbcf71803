// SPDX-License-Identifier: GPL-2.0-or-later
// RMPOPT where it can't work, and RMPOPT that is of no use.
#include "watch_fixture.h"

namespace rmpopt
{

namespace
{

using watch_rmpopt_test = watch_fixture;

// Where it can't work

TEST_F(watch_rmpopt_test, rmpopt_after_shutdown)
{
    bring_up();
    m->firmware_clear_snp_en();
    rmpopt(0, region_2);
    EXPECT_EQ(ids(), list{"rmpopt-after-shutdown"});
}

TEST_F(watch_rmpopt_test, rmpopt_after_shutdown_and_another_write_of_syscfg)
{
    bring_up();
    m->firmware_clear_snp_en();
    wrmsr(0, hw::msr::syscfg, hw::syscfg_reset);
    rmpopt(0, region_2);
    EXPECT_EQ(ids(), list{"rmpopt-after-shutdown"});
}

TEST_F(watch_rmpopt_test, rmpopt_before_snp_is_no_shutdown)
{
    rmpopt(0, region_2);
    EXPECT_EQ(ids(), list{"rmpopt-disabled"});
}

TEST_F(watch_rmpopt_test, rmpopt_with_a_function_that_does_not_exist)
{
    bring_up();
    rmpopt(0, region_2, 2);
    EXPECT_EQ(ids(), list{"rmpopt-refused"});
}

TEST_F(watch_rmpopt_test, a_kernel_that_does_not_use_rmpopt_gets_a_note)
{
    initialise_snp();
    wait(bound);
    EXPECT_EQ(ids(), list{});
    wait(guest_second);
    EXPECT_EQ(ids(), list{"rmpopt-unused"});
    EXPECT_EQ(only().kind->level, severity::note);
}

TEST_F(watch_rmpopt_test, a_kernel_that_knows_rmpopt_and_never_enables_it)
{
    const auto after = [this](const std::function<void()> &used) {
        begin();
        initialise_snp();
        used();
        wait(bound + guest_second);
        EXPECT_EQ(ids().back(), "rmpopt-never-enabled");
        EXPECT_EQ(w->findings().back().kind->level, severity::error);
        const std::string what = w->findings().back().what;
        return what.substr(what.find("the kernel has "));
    };
    EXPECT_EQ(after([&] { w->rdmsr(hw::msr::rmpopt_base); }), "the kernel has only read it");
    EXPECT_EQ(after([&] { wrmsr(0, hw::msr::rmpopt_base, 0); }),
              "the kernel has written it without RMPOPT_EN");
    EXPECT_EQ(after([&] {
                  wrmsr(0, hw::msr::rmpopt_base, 3);
                  w->rdmsr(hw::msr::rmpopt_base);
              }),
              "the kernel has tried to, and was refused");
}

TEST_F(watch_rmpopt_test, reading_another_register_says_nothing_of_rmpopt)
{
    initialise_snp();
    w->rdmsr(hw::msr::rmp_base);
    wait(bound + guest_second);
    EXPECT_EQ(ids(), list{"rmpopt-unused"});
    begin();
    w->rdmsr(hw::msr::rmpopt_base);
    w->reset();
    initialise_snp();
    wait(bound + guest_second);
    EXPECT_EQ(ids(), list{"rmpopt-unused"}) << "another kernel";
}

TEST_F(watch_rmpopt_test, where_rmpopt_is_impossible_nobody_misses_it)
{
    begin({}, "venice", hw::rmp_layout::contiguous);
    initialise_snp();
    wait(2 * bound);
    begin({}, "turin");
    initialise_snp();
    wait(2 * bound);
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_rmpopt_test, beyond_the_end_of_memory)
{
    initialise_snp();
    enable({0, 2});
    rmpopt(0, region_1);
    EXPECT_EQ(ids(), list{}) << "a gap below the last memory";
    rmpopt(0, 3 * hw::region_1g);
    rmpopt(0, 4 * hw::region_1g);
    EXPECT_EQ(only().kind->id, "rmpopt-no-memory");
    EXPECT_EQ(only().kind->level, severity::note);
    EXPECT_EQ(only().spa, 3 * hw::region_1g);
    EXPECT_EQ(only().count, 2u);
    ASSERT_EQ(w->passes().size(), 1u);
    EXPECT_EQ(w->passes()[0].executed, 3u) << "as many as the machine counts";
}

TEST_F(watch_rmpopt_test, a_pass_may_begin_beyond_the_end_of_memory)
{
    initialise_snp();
    enable({0, 2});
    rmpopt(0, 3 * hw::region_1g);
    rmpopt(2, 3 * hw::region_1g);
    pass({0, 2});
    ASSERT_EQ(w->passes().size(), 1u);
    EXPECT_EQ(w->passes()[0].executed, 8u);
}

// Wasted work

/// Region by region, as in one call of all CPUs.
TEST_F(watch_rmpopt_test, sibling_repeats)
{
    initialise_snp();
    enable({0, 2});
    pass({0});
    for (const hw::spa_t region : {region_0, region_1, region_2}) {
        for (const unsigned cpu : {1u, 2u, 3u}) {
            rmpopt(cpu, region);
        }
    }
    EXPECT_EQ(ids(), (list{"rmpopt-twice", "sibling-repeat"}));
    EXPECT_EQ(w->findings().back().what, "CPU 3 repeats RMPOPT of its sibling, CPU 2");
    EXPECT_EQ(w->pass_count(), 1u);
}

class pass_leader : public watch_rmpopt_test, public testing::WithParamInterface<unsigned>
{
};

/// Linux 7.4: the whole range on some CPU, and then on one thread of each core.
TEST_P(pass_leader, takes_part_in_the_pass_that_it_starts)
{
    const auto merged_pass = [this] {
        pass({GetParam()});
        pass({0, 2});
    };
    initialise_snp();
    enable({0, 2});
    merged_pass();
    EXPECT_EQ(ids(), list{"rmpopt-twice"});
    EXPECT_EQ(only().kind->level, severity::note);
    EXPECT_TRUE(only().what.ends_with("3 more than needed")) << only().what;
    EXPECT_EQ(w->pass_count(), 1u);
    EXPECT_EQ(w->passes().front().executed, 9u);
    wait(10 * guest_second);
    launch_guest(7, {64 * mb});
    merged_pass();
    EXPECT_EQ(ids(), list{"rmpopt-twice"}) << "after a change";
    EXPECT_EQ(w->pass_count(), 2u);
    wait(10 * guest_second);
    merged_pass();
    EXPECT_EQ(ids(), (list{"rmpopt-twice", "useless-pass"})) << "without one";
}

INSTANTIATE_TEST_SUITE_P(on_each_thread, pass_leader, testing::Values(0, 1, 2, 3));

/// Where a pass pauses, because the host had no time for the machine: before its Nth RMPOPT.
class slow_pass : public watch_rmpopt_test, public testing::WithParamInterface<unsigned>
{
  protected:
    void step(unsigned cpu, hw::spa_t region)
    {
        if (steps++ == GetParam()) {
            wait(5 * guest_second);
        }
        rmpopt(cpu, region);
    }
    void SetUp() override
    {
        watch_rmpopt_test::SetUp();
        initialise_snp();
        enable({0, 2});
        for (const hw::spa_t region : {region_0, region_1, region_2}) {
            step(0, region);
        }
    }
    unsigned steps = 0;
};

TEST_P(slow_pass, cpu_by_cpu)
{
    for (const unsigned cpu : {0u, 2u}) {
        for (const hw::spa_t region : {region_0, region_1, region_2}) {
            step(cpu, region);
        }
    }
    EXPECT_EQ(w->pass_count(), 1u);
    EXPECT_EQ(ids(), list{"rmpopt-twice"});
}

TEST_P(slow_pass, region_by_region)
{
    for (const hw::spa_t region : {region_0, region_1, region_2}) {
        for (const unsigned cpu : {0u, 2u}) {
            step(cpu, region);
        }
    }
    EXPECT_EQ(w->pass_count(), 1u);
    EXPECT_EQ(ids(), list{"rmpopt-twice"});
}

INSTANTIATE_TEST_SUITE_P(pauses_anywhere, slow_pass, testing::Range(1u, 9u));

TEST_F(watch_rmpopt_test, a_pass_that_stopped_half_way_ends_after_a_longer_pause)
{
    initialise_snp();
    enable({0, 2});
    pass({0});
    wait(bound);
    rmpopt(2, region_0);
    EXPECT_EQ(w->pass_count(), 1u);
    wait(bound + 1);
    rmpopt(2, region_1);
    EXPECT_EQ(w->pass_count(), 2u);
}

TEST_F(watch_rmpopt_test, a_pass_waits_for_no_core_that_is_offline)
{
    initialise_snp();
    enable({0, 2});
    w->cpu_offline(2);
    w->cpu_offline(3);
    pass({0});
    wait(5 * guest_second);
    pass({0});
    EXPECT_EQ(w->pass_count(), 2u);
}

TEST_F(watch_rmpopt_test, a_third_time_is_another_pass)
{
    bring_up();
    pass({0});
    EXPECT_EQ(w->pass_count(), 1u);
    pass({0});
    EXPECT_EQ(w->pass_count(), 2u);
}

TEST_F(watch_rmpopt_test, two_passes_without_a_pause)
{
    bring_up();
    pass({0, 2});
    EXPECT_EQ(w->pass_count(), 2u);
    EXPECT_EQ(ids(), (list{"rmpopt-twice", "useless-pass"}));
}

TEST_F(watch_rmpopt_test, two_passes_without_a_pause_but_another_thread_of_a_core)
{
    bring_up();
    pass({0, 3});
    EXPECT_EQ(w->pass_count(), 2u);
    EXPECT_EQ(ids(), (list{"rmpopt-twice", "useless-pass"}));
}

TEST_F(watch_rmpopt_test, siblings_may_report)
{
    bring_up();
    for (const unsigned cpu : {0u, 1u, 2u, 3u}) {
        for (const hw::spa_t r : {region_0, region_1, region_2}) {
            rmpopt(cpu, r, 1);
        }
    }
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_rmpopt_test, a_pass_for_nothing)
{
    bring_up();
    wait(10 * guest_second);
    pass({0, 2});
    EXPECT_EQ(ids(), list{"useless-pass"});
    EXPECT_EQ(w->pass_count(), 2u);
}

TEST_F(watch_rmpopt_test, a_pass_after_a_change_has_its_reason)
{
    bring_up();
    launch_guest(7, {64 * mb});
    wait(10 * guest_second);
    pass({0, 2});
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_rmpopt_test, a_pass_after_a_change_during_the_last_one_has_its_reason)
{
    bring_up();
    wait(10 * guest_second);
    launch_guest(7, {64 * mb});
    pass({0});
    rmpupdate(0, 64 * mb, {});
    pass({2});
    wait(10 * guest_second);
    pass({0, 2});
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_rmpopt_test, a_pass_for_a_core_that_comes_online_has_its_reason)
{
    initialise_snp();
    enable({0});
    pass({0});
    wait(guest_second);
    enable({2});
    wait(10 * guest_second);
    pass({0, 2});
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_rmpopt_test, single_repetitions_are_no_pass)
{
    bring_up();
    wait(10 * guest_second);
    rmpopt(0, region_0);
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_rmpopt_test, passes_are_recorded)
{
    bring_up();
    const auto passes = w->passes();
    ASSERT_EQ(passes.size(), 1u);
    EXPECT_EQ(passes[0].executed, 6u);
    EXPECT_EQ(passes[0].optimised, 6u);
    EXPECT_EQ(passes[0].by_core.size(), 2u);
    EXPECT_EQ(passes[0].repeated, 0u);
}

TEST_F(watch_rmpopt_test, a_pass_while_a_dead_guest_holds_pages)
{
    bring_up();
    launch_guest(7, {64 * mb});
    decommission(7);
    wait(10 * guest_second);
    pass({0, 2});
    EXPECT_EQ(ids(), list{"pass-during-teardown"});
}

TEST_F(watch_rmpopt_test, a_pass_while_a_live_guest_holds_pages_is_fine)
{
    bring_up();
    launch_guest(7, {64 * mb});
    launch_guest(8, {});
    decommission(8);
    wait(10 * guest_second);
    pass({0, 2});
    EXPECT_EQ(ids(), list{});
}

} // namespace

} // namespace rmpopt
