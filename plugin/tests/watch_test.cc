// SPDX-License-Identifier: GPL-2.0-or-later
// Each rule of the watch: what provokes a finding, and what looks like it and does not.
#include "watch_fixture.h"

namespace rmpopt
{

namespace
{

using testing::PrintToString;
using watch_test = watch_fixture;

TEST_F(watch_test, a_good_kernel_gets_no_finding)
{
    bring_up();
    wait(bound * 2);
    launch_guest(7, {64 * mb, region_2 + 64 * mb});
    wait(bound * 2);
    decommission(7);
    rmpupdate(0, 64 * mb, {});
    rmpupdate(0, region_2 + 64 * mb, {});
    wait(10 * guest_second);
    pass({0, 2});
    wait(bound * 2);
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_test, says_when_and_where)
{
    initialise_snp();
    time = 12 * guest_second;
    rmpopt(1, region_2);
    const finding f = only();
    EXPECT_EQ(f.at, 12 * guest_second);
    EXPECT_EQ(f.cpu, 1u);
    EXPECT_EQ(f.rip, rip);
    EXPECT_EQ(f.spa, region_2);
    EXPECT_EQ(to_line(f).substr(0, 71),
              "rmpopt-disabled: RMPOPT on a core whose RMPOPT_BASE is 0x0 (CPUs 0-1) [");
}

TEST_F(watch_test, says_it_once_and_counts)
{
    initialise_snp();
    rmpopt(0, 0);
    rmpopt(1, 0);
    EXPECT_EQ(only().count, 2u);
    rmpopt(2, 0);
    EXPECT_EQ(ids(), (list{"rmpopt-disabled", "rmpopt-disabled"}));
}

TEST_F(watch_test, tells_of_each_new_finding_once)
{
    std::vector<std::string> lines;
    finding_log log([&lines](const finding &f) { lines.push_back(to_line(f)); });
    for (int i = 0; i < 3; ++i) {
        log.add("dirty-rmp", "", {}, guest_second, std::nullopt, "text");
    }
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_TRUE(lines[0].starts_with("dirty-rmp: text [1.000 s]; "));
}

TEST_F(watch_test, a_flood_of_findings_is_cut_off)
{
    finding_log log;
    for (int i = 0; i < 3000; ++i) {
        log.add("host-write", std::to_string(i), {}, 0, std::nullopt, "");
    }
    EXPECT_EQ(log.all().size(), 1000u);
    log.add("pages-leaked", "", {}, 0, std::nullopt, "");
    EXPECT_EQ(log.all().back().kind->id, "pages-leaked") << "still heard behind all the others";
}

TEST_F(watch_test, every_kind_has_its_own_id_and_a_hint)
{
    std::set<std::string_view> ids;
    for (const finding_info &i : finding_infos) {
        EXPECT_TRUE(ids.insert(i.id).second) << i.id;
        EXPECT_FALSE(i.hint.empty()) << i.id;
    }
}

// RMPOPT where it can't work

TEST_F(watch_test, rmpopt_after_shutdown)
{
    bring_up();
    m->firmware_clear_snp_en();
    rmpopt(0, region_2);
    EXPECT_EQ(ids(), list{"rmpopt-after-shutdown"});
}

TEST_F(watch_test, rmpopt_after_shutdown_and_another_write_of_syscfg)
{
    bring_up();
    m->firmware_clear_snp_en();
    wrmsr(0, hw::msr::syscfg, hw::syscfg_reset);
    rmpopt(0, region_2);
    EXPECT_EQ(ids(), list{"rmpopt-after-shutdown"});
}

TEST_F(watch_test, rmpopt_before_snp_is_no_shutdown)
{
    rmpopt(0, region_2);
    EXPECT_EQ(ids(), list{"rmpopt-disabled"});
}

TEST_F(watch_test, rmpopt_with_a_function_that_does_not_exist)
{
    bring_up();
    rmpopt(0, region_2, 2);
    EXPECT_EQ(ids(), list{"rmpopt-refused"});
}

TEST_F(watch_test, a_kernel_that_does_not_use_rmpopt_gets_a_note)
{
    initialise_snp();
    wait(bound);
    EXPECT_EQ(ids(), list{});
    wait(guest_second);
    EXPECT_EQ(ids(), list{"rmpopt-unused"});
    EXPECT_EQ(only().kind->level, severity::note);
}

TEST_F(watch_test, a_kernel_that_knows_rmpopt_and_never_enables_it)
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

TEST_F(watch_test, reading_another_register_says_nothing_of_rmpopt)
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

TEST_F(watch_test, where_rmpopt_is_impossible_nobody_misses_it)
{
    begin({}, "venice", hw::rmp_layout::contiguous);
    initialise_snp();
    wait(2 * bound);
    begin({}, "turin");
    initialise_snp();
    wait(2 * bound);
    EXPECT_EQ(ids(), list{});
}

// Registers

TEST_F(watch_test, refused_wrmsr)
{
    wrmsr(3, hw::msr::rmpopt_base, 1); // SNP_EN is not set
    EXPECT_EQ(ids(), list{"msr-refused"});
    EXPECT_EQ(only().what, "WRMSR of 0x1 to RMPOPT_BASE refused");
}

TEST_F(watch_test, lost_wrmsr)
{
    hw::policy p;
    p.wrmsr_nosnp = hw::choice::wrmsr_nosnp::ignore;
    begin(p);
    wrmsr(0, hw::msr::rmpopt_base, 1);
    EXPECT_EQ(ids(), list{"msr-lost"});
}

TEST_F(watch_test, rmpopt_base_that_is_cleared)
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

TEST_F(watch_test, registers_that_differ_at_snp_init)
{
    set_snp_en();
    m->thread(2).hwcr = 0;
    command(hw::firmware_command::snp_init_ex, 3);
    EXPECT_EQ(ids(), list{"msr-unequal"});
    EXPECT_EQ(only().cpu, 2u);
}

TEST_F(watch_test, one_core_without_rmpopt_base)
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

TEST_F(watch_test, a_core_that_is_offline_needs_no_rmpopt_base)
{
    initialise_snp();
    enable({0});
    pass({0});
    w->cpu_offline(2);
    w->cpu_offline(3);
    wait(2 * bound);
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_test, a_core_with_one_thread_offline_needs_it)
{
    initialise_snp();
    enable({0});
    pass({0});
    w->cpu_offline(2);
    wait(2 * guest_second);
    EXPECT_EQ(ids(), list{"rmpopt-base-unequal"});
}

TEST_F(watch_test, cores_with_different_bases)
{
    initialise_snp();
    enable({0});
    enable({2}, region_1);
    wait(2 * guest_second);
    EXPECT_EQ(ids(), list{"rmpopt-base-unequal"});
}

TEST_F(watch_test, dirty_rmp)
{
    m->memory().store<std::uint64_t>(low_segment + 64, 4);
    set_snp_en();
    EXPECT_EQ(ids(), list{"dirty-rmp"});
    EXPECT_EQ(only().spa, low_segment + 64);
}

TEST_F(watch_test, dirty_bookkeeping)
{
    m->memory().store<std::uint64_t>(rmp_base + 8, 1);
    set_snp_en();
    EXPECT_EQ(ids(), list{"dirty-rmp"});
}

TEST_F(watch_test, snp_en_that_stays_set_does_not_ask_for_a_clean_rmp)
{
    bring_up();
    launch_guest(7, {64 * mb});
    wrmsr(0, hw::msr::syscfg, hw::syscfg_reset | hw::syscfg_snp_en);
    EXPECT_EQ(ids(), list{});
}

// Lost optimisations

TEST_F(watch_test, no_pass_after_a_guest)
{
    bring_up();
    launch_guest(7, {64 * mb});
    decommission(7);
    rmpupdate(0, 64 * mb, {});
    wait(bound);
    EXPECT_EQ(ids(), list{});
    wait(guest_second);
    EXPECT_EQ(ids(), list{"lost-optimisation"});
    EXPECT_EQ(only().what, "0 GiB without assigned pages, but not optimised on CPUs 0-3: the last "
                           "RMPOPT came before the region's last change");
}

TEST_F(watch_test, a_reset_of_the_secure_processor_ends_its_guests)
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

TEST_F(watch_test, another_base_forgets_the_last_pass)
{
    begin({.rmpopt_locked = hw::choice::rmpopt_locked::allow,
           .msr_rewrite = hw::choice::msr_rewrite::keep});
    bring_up();
    enable({0, 2}, hw::region_1g);
    enable({0, 2}, 0);
    wait(bound + guest_second);
    EXPECT_EQ(only().what, "0-2 GiB without assigned pages, but not optimised on CPUs 0-3: no pass "
                           "since SNP_INIT or since RMPOPT was enabled");
}

TEST_F(watch_test, a_pass_that_ran_too_early)
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

TEST_F(watch_test, a_core_left_out)
{
    initialise_snp();
    enable({0, 2});
    pass({0});
    wait(bound + guest_second);
    EXPECT_EQ(ids(), list{"lost-optimisation"});
    EXPECT_EQ(only().what,
              "0-2 GiB without assigned pages, but not optimised on CPUs 2-3: left out of every "
              "pass");
}

TEST_F(watch_test, no_pass_after_initialising_again)
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

TEST_F(watch_test, no_pass_after_initialising_again_with_rmpopt_left_on)
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

TEST_F(watch_test, regions_beyond_the_window)
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

TEST_F(watch_test, nothing_is_lost_while_another_guest_lives)
{
    bring_up();
    launch_guest(7, {64 * mb});
    launch_guest(8, {region_2 + 64 * mb});
    decommission(7);
    rmpupdate(0, 64 * mb, {});
    wait(10 * bound);
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_test, nothing_is_lost_where_pages_are_assigned)
{
    bring_up();
    hw::rmp_record firmware_page;
    firmware_page.assigned = firmware_page.immutable = true;
    rmpupdate(0, 64 * mb, firmware_page);
    pass({0, 2});
    wait(10 * bound);
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_test, nothing_is_lost_where_hardware_says_no)
{
    hw::policy p;
    p.uncovered_region = hw::choice::uncovered_region::cf0; // the hole has no entries
    begin(p);
    bring_up();
    ASSERT_FALSE(rmpopt(0, region_1, 1));
    wait(10 * bound);
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_test, nothing_is_lost_after_shutdown)
{
    bring_up();
    firmware.snp_init = false;
    firmware.memory = m->rmp().table_memory();
    command(hw::firmware_command::snp_shutdown_ex);
    m->clear_rmpopt_tables();
    wait(10 * bound);
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_test, nothing_is_lost_after_reset)
{
    bring_up();
    m->reset();
    w->reset();
    wait(10 * bound);
    EXPECT_EQ(ids(), list{});
}

// Wasted work

/// Region by region, as in one call of all CPUs.
TEST_F(watch_test, sibling_repeats)
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

class pass_leader : public watch_test, public testing::WithParamInterface<unsigned>
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

TEST_F(watch_test, a_third_time_is_another_pass)
{
    bring_up();
    pass({0});
    EXPECT_EQ(w->pass_count(), 1u);
    pass({0});
    EXPECT_EQ(w->pass_count(), 2u);
}

TEST_F(watch_test, two_passes_without_a_pause)
{
    bring_up();
    pass({0, 2});
    EXPECT_EQ(w->pass_count(), 2u);
    EXPECT_EQ(ids(), (list{"rmpopt-twice", "useless-pass"}));
}

TEST_F(watch_test, two_passes_without_a_pause_but_another_thread_of_a_core)
{
    bring_up();
    pass({0, 3});
    EXPECT_EQ(w->pass_count(), 2u);
    EXPECT_EQ(ids(), (list{"rmpopt-twice", "useless-pass"}));
}

TEST_F(watch_test, siblings_may_report)
{
    bring_up();
    for (const unsigned cpu : {0u, 1u, 2u, 3u}) {
        for (const hw::spa_t r : {region_0, region_1, region_2}) {
            rmpopt(cpu, r, 1);
        }
    }
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_test, a_pass_for_nothing)
{
    bring_up();
    wait(10 * guest_second);
    pass({0, 2});
    EXPECT_EQ(ids(), list{"useless-pass"});
    EXPECT_EQ(w->pass_count(), 2u);
}

TEST_F(watch_test, a_pass_after_a_change_has_its_reason)
{
    bring_up();
    launch_guest(7, {64 * mb});
    wait(10 * guest_second);
    pass({0, 2});
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_test, a_pass_after_a_change_during_the_last_one_has_its_reason)
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

TEST_F(watch_test, a_pass_for_a_core_that_comes_online_has_its_reason)
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

TEST_F(watch_test, single_repetitions_are_no_pass)
{
    bring_up();
    wait(10 * guest_second);
    rmpopt(0, region_0);
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_test, passes_are_recorded)
{
    bring_up();
    const auto passes = w->passes();
    ASSERT_EQ(passes.size(), 1u);
    EXPECT_EQ(passes[0].executed, 6u);
    EXPECT_EQ(passes[0].optimised, 6u);
    EXPECT_EQ(passes[0].cores.size(), 2u);
    EXPECT_EQ(passes[0].repeated, 0u);
}

TEST_F(watch_test, a_pass_while_a_dead_guest_holds_pages)
{
    bring_up();
    launch_guest(7, {64 * mb});
    decommission(7);
    wait(10 * guest_second);
    pass({0, 2});
    EXPECT_EQ(ids(), list{"pass-during-teardown"});
}

TEST_F(watch_test, a_pass_while_a_live_guest_holds_pages_is_fine)
{
    bring_up();
    launch_guest(7, {64 * mb});
    launch_guest(8, {});
    decommission(8);
    wait(10 * guest_second);
    pass({0, 2});
    EXPECT_EQ(ids(), list{});
}

// Pages

TEST_F(watch_test, the_same_failure_again_and_again)
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

TEST_F(watch_test, failures_with_a_success_between_them)
{
    bring_up();
    rmpupdate(0, 64 * mb + 4096, immutable(guest_page()));
    for (int i = 0; i < 6; ++i) {
        rmpupdate(0, 64 * mb + 4096, {});
        rmpupdate(0, 64 * mb + 8192, i % 2 == 0 ? guest_page() : hw::rmp_record{});
    }
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_test, a_busy_page_may_be_tried_often)
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

TEST_F(watch_test, host_write)
{
    bring_up();
    w->write_refused(on(1), 64 * mb + 8, hw::rmp_rule::hypervisor_owned);
    w->write_refused(on(1), 64 * mb + 16, hw::rmp_rule::hypervisor_owned);
    w->write_refused(on(1), std::nullopt, hw::rmp_rule::hypervisor_owned);
    EXPECT_EQ(ids(), (list{"host-write", "host-write"}));
}

TEST_F(watch_test, pages_leaked)
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

TEST_F(watch_test, an_asid_may_live_again)
{
    bring_up();
    launch_guest(7, {64 * mb});
    decommission(7);
    rmpupdate(0, 64 * mb, {});
    launch_guest(7, {64 * mb});
    wait(10 * bound);
    EXPECT_EQ(ids(), list{});
}

TEST_F(watch_test, a_context_page_left_with_firmware)
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

TEST_F(watch_test, firmware_pages_of_a_platform_that_lives_are_fine)
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

TEST_F(watch_test, firmware_pages_left_after_shutdown)
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
