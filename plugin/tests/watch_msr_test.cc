// SPDX-License-Identifier: GPL-2.0-or-later
// Registers that refuse, lose or differ, and an RMP that is not clean.
#include "watch_fixture.h"

namespace rmpopt
{

namespace
{

using watch_msr_test = watch_fixture;

TEST_F(watch_msr_test, refused_wrmsr)
{
    wrmsr(3, hw::msr::rmpopt_base, 1); // SNP_EN is not set
    EXPECT_EQ(ids(), list{"msr-refused"});
    EXPECT_EQ(only().what, "WRMSR of 0x1 to RMPOPT_BASE refused");
}

TEST_F(watch_msr_test, lost_wrmsr)
{
    hw::policy p;
    p.wrmsr_nosnp = hw::choice::wrmsr_nosnp::ignore;
    begin(p);
    wrmsr(0, hw::msr::rmpopt_base, 1);
    EXPECT_EQ(ids(), list{"msr-lost"});
}

TEST_F(watch_msr_test, rmpopt_base_that_is_cleared)
{
    initialise_snp();
    wrmsr(0, hw::msr::rmpopt_base, 0);
    EXPECT_EQ(ids(), list{}) << "it was not enabled yet";
    enable({0, 2});
    wrmsr(0, hw::msr::rmpopt_base, 0);
    EXPECT_EQ(ids(), list{"msr-refused"});
    begin({.rmpopt_locked = hw::choice::rmpopt_locked::ignore});
    bring_up();
    wrmsr(0, hw::msr::rmpopt_base, 0);
    EXPECT_EQ(ids(), list{"msr-lost"});
}

TEST_F(watch_msr_test, registers_that_differ_at_snp_init)
{
    set_snp_en();
    m->thread(2).hwcr = 0;
    command(hw::firmware_command::snp_init_ex, 3);
    EXPECT_EQ(ids(), list{"msr-unequal"});
    EXPECT_EQ(only().cpu, 2u);
}

TEST_F(watch_msr_test, registers_about_memory_that_differ_at_snp_init)
{
    wrmsr(0, hw::msr::top_mem, 0x80000000);
    wrmsr(3, hw::msr::top_mem, 0x40000000);
    set_snp_en();
    command(hw::firmware_command::snp_init_ex, 3);
    EXPECT_EQ(ids(), list{"msr-unequal"});
    EXPECT_EQ(only().what, "TOP_MEM is 0x80000000 on CPU 0 and 0x40000000 on CPU 3 at SNP_INIT");
}

TEST_F(watch_msr_test, one_core_without_rmpopt_base)
{
    initialise_snp();
    enable({0});
    pass({0});
    time += guest_second;
    w->tick();
    EXPECT_EQ(ids(), list{}) << "a kernel may still be at it";
    wait(guest_second);
    EXPECT_EQ(ids(), list{"rmpopt-base-unequal"});
    EXPECT_EQ(only().what, "RMPOPT_BASE is 0x0 on CPUs 2-3, 0x1 on CPUs 0-1");
}

TEST_F(watch_msr_test, a_core_that_is_offline_needs_no_rmpopt_base)
{
    initialise_snp();
    enable({0});
    pass({0});
    w->cpu_offline(2);
    w->cpu_offline(3);
    wait(2 * bound);
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_msr_test, a_core_with_one_thread_offline_needs_it)
{
    initialise_snp();
    enable({0});
    pass({0});
    w->cpu_offline(2);
    wait(2 * guest_second);
    EXPECT_EQ(ids(), list{"rmpopt-base-unequal"});
}

TEST_F(watch_msr_test, cores_with_different_bases)
{
    initialise_snp();
    enable({0});
    enable({2}, region_1);
    wait(2 * guest_second);
    EXPECT_EQ(ids(), list{"rmpopt-base-unequal"});
}

TEST_F(watch_msr_test, dirty_rmp)
{
    m->memory().store<std::uint64_t>(low_segment + 64, 4);
    set_snp_en();
    EXPECT_EQ(ids(), list{"dirty-rmp"});
    EXPECT_EQ(only().spa, low_segment + 64);
}

TEST_F(watch_msr_test, dirty_bookkeeping)
{
    m->memory().store<std::uint64_t>(rmp_base + 8, 1);
    set_snp_en();
    EXPECT_EQ(ids(), list{"dirty-rmp"});
}

TEST_F(watch_msr_test, snp_en_that_stays_set_does_not_ask_for_a_clean_rmp)
{
    bring_up();
    launch_guest(7, {64 * mb});
    wrmsr(0, hw::msr::syscfg, hw::syscfg_reset | hw::syscfg_snp_en);
    EXPECT_EQ(ids(), list{});
}

} // namespace

} // namespace rmpopt
