// SPDX-License-Identifier: GPL-2.0-or-later
// Where a knob ends: what it leaves alone, and what comes before it.
#include "hw-model/access/rmp_check.h"
#include "machine_fixture.h"
#include "policy_probe.h"

namespace rmpopt::hw
{

namespace
{

constexpr std::uint64_t gb = region_1g;

using policy_edge = machine_fixture;

TEST_F(policy_edge, address_outside_window_and_maxphyaddr_goes_by_the_window)
{
    start({.out_of_window = choice::out_of_window::cf0, .maxphys = choice::maxphys::gp}, 40);
    EXPECT_EQ(optimise(0, 1ull << 41).exception, fault::none);
    EXPECT_EQ(optimise(0, 1ull << 40).exception, fault::gp0);
    EXPECT_EQ(optimise(0, (1ull << 40) - gb).exception, fault::none);
}

TEST_F(policy_edge, maxphyaddr_decides_for_both_functions)
{
    start({.maxphys = choice::maxphys::gp}, 40);
    EXPECT_EQ(optimise(0, 1ull << 40, 0).exception, fault::gp0);
    EXPECT_EQ(optimise(0, 1ull << 40, 1).exception, fault::gp0);
}

TEST_F(policy_edge, aligned_address_is_no_matter_of_rax_align)
{
    start({.rax_align = choice::rax_align::gp});
    EXPECT_EQ(optimise(0, gb).exception, fault::none);
    EXPECT_EQ(optimise(0, gb + 1, 1).exception, fault::gp0);
}

TEST_F(policy_edge, function_is_judged_before_the_address)
{
    start({.out_of_window = choice::out_of_window::gp,
           .rax_align = choice::rax_align::gp,
           .reserved_function = choice::reserved_function::cf0});
    EXPECT_EQ(optimise(0, 4096 * gb + 1, 2).exception, fault::none);
}

TEST_F(policy_edge, one_entry_is_enough_to_be_a_region_with_entries)
{
    start({.uncovered_region = choice::uncovered_region::cf0});
    EXPECT_FALSE(optimise(0, hole).cf);
    EXPECT_FALSE(reports(0, hole));
    EXPECT_TRUE(optimise(0, high.base).cf);
}

TEST_F(policy_edge, blocking_hv_fixed_pages_sees_each_page_and_no_other_region)
{
    start({.hv_fixed = choice::hv_fixed::block});
    rmp_entry e;
    e.immutable = true;
    m->rmp().store(high.base, e);
    EXPECT_TRUE(optimise(0, 0).cf);
    EXPECT_FALSE(optimise(0, high.base).cf);
    m->rmp().store(high.base, {});
    EXPECT_TRUE(optimise(0, high.base).cf);
}

TEST_F(policy_edge, kept_table_is_cleared_by_another_base)
{
    start(
        {.rmpopt_locked = choice::rmpopt_locked::allow, .msr_rewrite = choice::msr_rewrite::keep});
    ASSERT_TRUE(optimise(0, gb).cf);
    enable_rmpopt(gb);
    EXPECT_FALSE(reports(0, gb));
}

TEST_F(policy_edge, init_touches_its_own_core_only)
{
    start({.init_msr = choice::init_msr::clear});
    ASSERT_TRUE(optimise(0, 0).cf);
    ASSERT_TRUE(optimise(2, 0).cf);
    m->init_thread(0);
    EXPECT_EQ(optimise(1, 0).exception, fault::ud);
    EXPECT_TRUE(reports(2, 0));
    EXPECT_TRUE(m->snp_enabled(0));
    EXPECT_EQ(read_msr(0, msr::rmp_base), rmp_base);
}

TEST_F(policy_edge, update_that_assigns_or_releases_always_clears)
{
    start({.shared_update = choice::shared_update::keep});
    ASSERT_TRUE(optimise(0, 0).cf);
    ASSERT_EQ(assign(low_2m), rmp_status::success);
    EXPECT_FALSE(reports(0, 0));
    m->core(0).rmpopt.set(0); // cannot happen; the release must not rely on that
    ASSERT_EQ(release(low_2m), rmp_status::success);
    EXPECT_FALSE(reports(0, 0));
}

TEST_F(policy_edge, guest_mode_is_judged_after_enable_and_before_privilege)
{
    start({.rmpopt_guest = choice::rmpopt_guest::gp});
    EXPECT_EQ(host_insn_fault(*m, {.long_mode = false, .guest_mode = true}), fault::ud);
    EXPECT_EQ(host_insn_fault(*m, {.cpl = 3, .guest_mode = true}), fault::gp0);
    EXPECT_EQ(rmpopt(*m, {.long_mode = false, .guest_mode = true}, 0, 0).exception, fault::ud);
    start({.cpl = choice::cpl::gp, .guest_exec = choice::guest_exec::ud});
    EXPECT_EQ(host_insn_fault(*m, {.cpl = 3, .guest_mode = true}), fault::ud);
    EXPECT_EQ(rmpopt(*m, {.cpl = 3, .guest_mode = true}, 0, 0).exception, fault::ud);
}

TEST_F(policy_edge, rounded_address_must_still_fit_the_size)
{
    start({.spa_align = choice::spa_align::round});
    EXPECT_EQ(assign_2m(low_2m + page_4k), rmp_status::fail_input);
    EXPECT_EQ(psmash(*m, low_2m + 8), rmp_status::fail_input);
    EXPECT_EQ(assign(low_2m + page_4k + 5), rmp_status::success);
    EXPECT_TRUE(entry(low_2m + page_4k).assigned);
    EXPECT_FALSE(entry(low_2m).assigned);
}

TEST_F(policy_edge, cut_asid_can_be_the_secure_processor_s)
{
    start({.asid_high = choice::asid_high::cut});
    EXPECT_EQ(update(low_2m, guest_page(rmp_entry::asid_limit)), rmp_status::success);
    EXPECT_EQ(entry(low_2m).asid, 0);
    EXPECT_TRUE(entry(low_2m).assigned);
    rmp_record shared;
    shared.asid = rmp_entry::asid_limit;
    EXPECT_EQ(update(low_2m, shared), rmp_status::fail_input);
}

TEST_F(policy_edge, page_in_use_never_comes_before_bad_input)
{
    for (const auto order : {choice::inuse_order::first, choice::inuse_order::last}) {
        start({.inuse_order = order});
        hold(low_2m);
        EXPECT_EQ(assign(low_2m + 8), rmp_status::fail_input);
        EXPECT_EQ(assign(low_2m), rmp_status::fail_inuse);
        EXPECT_FALSE(entry(low_2m).assigned);
        EXPECT_EQ(assign(low_2m + page_4k), rmp_status::success);
    }
}

TEST_F(policy_edge, page_in_use_against_an_overlap)
{
    start({.inuse_order = choice::inuse_order::first});
    assign(low_2m + page_4k);
    hold(low_2m + 2 * page_4k);
    EXPECT_EQ(assign_2m(low_2m), rmp_status::fail_inuse);
    start({.inuse_order = choice::inuse_order::last});
    assign(low_2m + page_4k);
    hold(low_2m + 2 * page_4k);
    EXPECT_EQ(assign_2m(low_2m), rmp_status::fail_overlap);
}

TEST_F(policy_edge, a_2m_update_is_refused_for_each_of_its_pages_in_use)
{
    start({});
    hold(low_2m + 511 * page_4k);
    EXPECT_EQ(assign_2m(low_2m), rmp_status::fail_inuse);
    EXPECT_EQ(assign_2m(low_2m + page_2m), rmp_status::success);
    const std::scoped_lock lock(m->rmp_lock());
    m->leave_guest(3);
}

TEST_F(policy_edge, psmash_is_refused_while_a_part_is_in_use)
{
    start({});
    ASSERT_EQ(assign_2m(low_2m), rmp_status::success);
    hold(low_2m + page_4k);
    EXPECT_EQ(psmash(*m, low_2m + page_4k), rmp_status::fail_input);
    EXPECT_EQ(psmash(*m, low_2m), rmp_status::fail_inuse);
    EXPECT_TRUE(entry(low_2m).size_2m);
    EXPECT_EQ(psmash(*m, low_2m + page_2m), rmp_status::fail_badaddr);
}

TEST_F(policy_edge, hv_fixed_page_inside_2m_is_refused_with_either_code_for_assigned_ones)
{
    for (const auto code :
         {choice::immutable_in_2m::fail_permission, choice::immutable_in_2m::fail_overlap}) {
        start({.immutable_in_2m = code});
        rmp_entry e;
        e.immutable = true;
        m->rmp().store(low_2m + page_4k, e);
        EXPECT_EQ(assign_2m(low_2m), rmp_status::fail_permission);
        EXPECT_EQ(entry(low_2m + page_4k), e);
        m->rmp().store(low_2m + page_4k, {});
    }
}

TEST_F(policy_edge, overlap_at_the_base_is_always_4)
{
    start({.overlap_in_2m = choice::overlap_in_2m::fail_permission});
    ASSERT_EQ(assign_2m(low_2m), rmp_status::success);
    EXPECT_EQ(release(low_2m), rmp_status::fail_overlap);
    EXPECT_EQ(release(low_2m + 511 * page_4k), rmp_status::fail_permission);
    EXPECT_EQ(release(low_2m + page_2m), rmp_status::success);
}

TEST_F(policy_edge, only_updates_of_page_walks_can_be_reported_as_writes)
{
    using enum rmp_access_kind;
    for (const auto c : {choice::walk_fault::access, choice::walk_fault::write}) {
        start({.walk_fault = c});
        EXPECT_TRUE(reported_as_write(*m, {.kind = write}, false));
        EXPECT_TRUE(reported_as_write(*m, {.kind = walk_write}, true));
        EXPECT_TRUE(reported_as_write(*m, {.kind = walk_read}, true));
        EXPECT_FALSE(reported_as_write(*m, {.kind = walk_read}, false));
        EXPECT_FALSE(reported_as_write(*m, {.kind = read}, false));
        EXPECT_FALSE(reported_as_write(*m, {.kind = fetch}, false));
    }
}

} // namespace

} // namespace rmpopt::hw
