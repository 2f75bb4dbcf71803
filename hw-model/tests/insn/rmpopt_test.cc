// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine_fixture.h"

#include <gtest/gtest.h>

namespace rmpopt::hw
{

namespace
{

constexpr std::uint64_t gb = region_1g;

class rmpopt_test : public machine_fixture
{
  protected:
    void SetUp() override { start(); }
    fault fault_of(const insn_context &ctx, std::uint64_t rax = 0, std::uint64_t rcx = 0)
    {
        return rmpopt(*m, ctx, rax, rcx).exception;
    }
};

// Exceptions.

TEST_F(rmpopt_test, is_undefined_on_a_cpu_without_it)
{
    build("turin");
    enable_snp();
    EXPECT_EQ(fault_of({}), fault::ud);
}

TEST_F(rmpopt_test, is_undefined_outside_64_bit_mode)
{
    EXPECT_EQ(fault_of({.long_mode = false}), fault::ud);
}

TEST_F(rmpopt_test, is_undefined_on_a_core_that_is_not_enabled)
{
    build("venice");
    enable_snp();
    ASSERT_EQ(write_msr(0, msr::rmpopt_base, rmpopt_enable), msr_result::done);
    EXPECT_EQ(fault_of({.thread = 2}), fault::ud);
    EXPECT_EQ(fault_of({.thread = 3}, 0, 1), fault::ud);
    EXPECT_EQ(fault_of({.thread = 0}), fault::none);
}

TEST_F(rmpopt_test, is_undefined_with_a_contiguous_rmp)
{
    build("venice", rmp_layout::contiguous);
    enable_snp();
    EXPECT_EQ(fault_of({}), fault::ud);
}

TEST_F(rmpopt_test, is_undefined_rather_than_privileged_when_not_enabled)
{
    build("venice");
    enable_snp();
    EXPECT_EQ(fault_of({.cpl = 3}), fault::ud);
}

TEST_F(rmpopt_test, is_undefined_when_firmware_has_cleared_snp_en)
{
    m->firmware_clear_snp_en();
    EXPECT_EQ(fault_of({}), fault::ud);
    start({.shutdown_msr = choice::shutdown_msr::keep});
    m->firmware_clear_snp_en();
    EXPECT_EQ(fault_of({}), fault::ud);
}

TEST_F(rmpopt_test, returns_cf_0_without_snp_en_when_the_policy_says_so)
{
    start({.snpoff_exec = choice::snpoff_exec::cf0, .shutdown_msr = choice::shutdown_msr::keep});
    ASSERT_TRUE(optimise(0, 0).cf);
    m->firmware_clear_snp_en();
    EXPECT_EQ(fault_of({}), fault::none);
    EXPECT_FALSE(optimise(0, 0, 1).cf);
}

TEST_F(rmpopt_test, is_privileged)
{
    EXPECT_EQ(fault_of({.cpl = 3}), fault::gp0);
    EXPECT_EQ(fault_of({.cpl = 3}, 0, 1), fault::gp0);
}

TEST_F(rmpopt_test, is_undefined_at_cpl_3_when_the_policy_says_so)
{
    start({.cpl = choice::cpl::ud});
    EXPECT_EQ(fault_of({.cpl = 3}), fault::ud);
}

TEST_F(rmpopt_test, refuses_an_unknown_function)
{
    EXPECT_EQ(fault_of({}, 0, 2), fault::gp0);
}

TEST_F(rmpopt_test, looks_at_all_64_bits_of_rcx)
{
    EXPECT_EQ(fault_of({}, 0, 1ull << 32), fault::gp0);
    EXPECT_EQ(fault_of({}, 0, ~0ull), fault::gp0);
}

TEST_F(rmpopt_test, returns_cf_0_for_an_unknown_function_when_the_policy_says_so)
{
    start({.reserved_function = choice::reserved_function::cf0});
    const rmpopt_result r = optimise(0, 0, 2);
    EXPECT_EQ(r.exception, fault::none);
    EXPECT_FALSE(r.cf);
    EXPECT_FALSE(reports(0, 0));
}

TEST_F(rmpopt_test, returns_cf_0_outside_the_window)
{
    const rmpopt_result r = optimise(0, 2048 * gb);
    EXPECT_EQ(r.exception, fault::none);
    EXPECT_FALSE(r.cf);
    EXPECT_FALSE(optimise(0, ~0ull).cf);
    EXPECT_EQ(m->counters().rmpopt_scans, 0u);
}

TEST_F(rmpopt_test, faults_outside_the_window_when_the_policy_says_so)
{
    start({.out_of_window = choice::out_of_window::gp});
    EXPECT_EQ(fault_of({}, 2048 * gb), fault::gp0);
    EXPECT_EQ(fault_of({}, 2048 * gb, 1), fault::gp0);
    EXPECT_EQ(fault_of({}, 2047 * gb), fault::none);
}

TEST_F(rmpopt_test, faults_below_the_window_when_the_policy_says_so)
{
    build("venice", rmp_layout::segmented, {.out_of_window = choice::out_of_window::gp});
    enable_snp();
    enable_rmpopt(2 * gb);
    EXPECT_EQ(fault_of({}, gb), fault::gp0);
}

// Function 0.

TEST_F(rmpopt_test, optimises_a_clean_region)
{
    EXPECT_TRUE(optimise(0, high.base).cf);
    EXPECT_TRUE(reports(0, high.base));
}

TEST_F(rmpopt_test, optimises_a_region_without_entries)
{
    EXPECT_TRUE(optimise(0, hole).cf);
    EXPECT_TRUE(optimise(0, beyond).cf);
}

TEST_F(rmpopt_test, optimises_a_region_of_hv_fixed_pages)
{
    rmp_entry fixed;
    fixed.immutable = true;
    m->rmp().store(high_2m, fixed);
    EXPECT_TRUE(optimise(0, high.base).cf);
}

TEST_F(rmpopt_test, refuses_a_region_with_its_first_page_assigned)
{
    ASSERT_EQ(assign(high.base), rmp_status::success);
    EXPECT_FALSE(optimise(0, high.base).cf);
    EXPECT_EQ(m->counters().rmpopt_scanned_2m, 1u);
}

TEST_F(rmpopt_test, refuses_a_region_with_its_last_page_assigned)
{
    ASSERT_EQ(assign(high.end() - page_4k), rmp_status::success);
    EXPECT_FALSE(optimise(0, high.base).cf);
    EXPECT_EQ(m->counters().rmpopt_scanned_2m, 512u);
}

TEST_F(rmpopt_test, refuses_a_region_with_a_2m_page)
{
    ASSERT_EQ(assign_2m(high_2m), rmp_status::success);
    EXPECT_FALSE(optimise(0, high.base).cf);
}

TEST_F(rmpopt_test, refuses_a_region_with_a_smashed_page_of_which_one_is_left)
{
    ASSERT_EQ(assign_2m(high_2m), rmp_status::success);
    ASSERT_EQ(psmash(*m, high_2m), rmp_status::success);
    for (unsigned i = 0; i < 511; ++i) {
        ASSERT_EQ(release(high_2m + i * page_4k), rmp_status::success);
    }
    EXPECT_FALSE(optimise(0, high.base).cf);
    ASSERT_EQ(release(high_2m + 511 * page_4k), rmp_status::success);
    EXPECT_TRUE(optimise(0, high.base).cf);
}

TEST_F(rmpopt_test, refuses_a_region_with_a_firmware_page)
{
    ASSERT_EQ(update(high_2m, {.assigned = true, .immutable = true}), rmp_status::success);
    EXPECT_FALSE(optimise(0, high.base).cf);
}

TEST_F(rmpopt_test, a_region_that_fails_has_no_bit_on_any_core)
{
    ASSERT_TRUE(optimise(0, high.base).cf);
    ASSERT_TRUE(optimise(2, high.base).cf);
    ASSERT_EQ(assign(high_2m), rmp_status::success);
    EXPECT_FALSE(optimise(0, high.base).cf);
    EXPECT_FALSE(reports(0, high.base));
    EXPECT_FALSE(reports(2, high.base));
}

TEST_F(rmpopt_test, does_not_look_at_the_neighbour_regions)
{
    ASSERT_EQ(assign(low.end() - page_4k), rmp_status::success);
    ASSERT_EQ(assign(high.base), rmp_status::success);
    EXPECT_TRUE(optimise(0, hole).cf);
    EXPECT_TRUE(optimise(0, beyond).cf);
}

TEST_F(rmpopt_test, rounds_the_address_down_to_1_gb)
{
    EXPECT_TRUE(optimise(0, high.base + 0x12345678).cf);
    EXPECT_TRUE(reports(0, high.base));
    EXPECT_TRUE(reports(0, high.end() - 1));
    EXPECT_FALSE(reports(0, high.end()));
}

TEST_F(rmpopt_test, takes_the_result_of_another_core_over)
{
    ASSERT_TRUE(optimise(0, high.base).cf);
    EXPECT_TRUE(optimise(2, high.base).cf);
    EXPECT_EQ(m->counters().rmpopt_scans, 1u);
    EXPECT_EQ(m->counters().rmpopt_cached, 1u);
}

TEST_F(rmpopt_test, does_not_take_over_a_result_that_rmpupdate_has_ended)
{
    ASSERT_TRUE(optimise(0, high.base).cf);
    ASSERT_EQ(assign(high_2m), rmp_status::success);
    EXPECT_FALSE(optimise(2, high.base).cf);
    EXPECT_EQ(m->counters().rmpopt_cached, 0u);
}

TEST_F(rmpopt_test, scans_a_failing_region_each_time)
{
    ASSERT_EQ(assign(high_2m), rmp_status::success);
    optimise(0, high.base);
    optimise(2, high.base);
    EXPECT_EQ(m->counters().rmpopt_scans, 2u);
}

// Function 1.

TEST_F(rmpopt_test, report_changes_nothing)
{
    EXPECT_FALSE(reports(0, high.base));
    EXPECT_FALSE(reports(0, high.base));
    EXPECT_EQ(m->counters().rmpopt_scans, 0u);
}

TEST_F(rmpopt_test, report_does_not_take_another_core_s_result_over)
{
    ASSERT_TRUE(optimise(0, high.base).cf);
    EXPECT_FALSE(reports(2, high.base));
}

// Scope.

TEST_F(rmpopt_test, siblings_share_the_table)
{
    ASSERT_TRUE(optimise(0, high.base).cf);
    EXPECT_TRUE(reports(1, high.base));
}

TEST_F(rmpopt_test, other_cores_do_not_share_the_table)
{
    ASSERT_TRUE(optimise(1, high.base).cf);
    EXPECT_FALSE(reports(2, high.base));
    EXPECT_FALSE(reports(3, high.base));
}

TEST_F(rmpopt_test, counts_what_completed)
{
    optimise(0, high.base);
    optimise(0, high.base, 1);
    optimise(0, high.base, 2);
    ASSERT_EQ(assign(low_2m), rmp_status::success);
    optimise(0, low.base);
    EXPECT_EQ(m->counters().rmpopt, 3u);
    EXPECT_EQ(m->counters().rmpopt_set, 2u);
}

// The broadcast of RMPUPDATE and PSMASH.

TEST_F(rmpopt_test, rmpupdate_clears_the_bit_on_all_cores)
{
    ASSERT_TRUE(optimise(0, high.base).cf);
    ASSERT_TRUE(optimise(2, high.base).cf);
    ASSERT_EQ(assign(high_2m), rmp_status::success);
    for (unsigned t = 0; t < 4; ++t) {
        EXPECT_FALSE(reports(t, high.base)) << "thread " << t;
    }
}

TEST_F(rmpopt_test, rmpupdate_of_a_2m_page_clears_the_bit)
{
    ASSERT_TRUE(optimise(0, high.base).cf);
    ASSERT_EQ(assign_2m(high_2m), rmp_status::success);
    EXPECT_FALSE(reports(0, high.base));
}

TEST_F(rmpopt_test, rmpupdate_leaves_other_regions)
{
    ASSERT_TRUE(optimise(0, low.base).cf);
    ASSERT_EQ(assign(high_2m), rmp_status::success);
    EXPECT_TRUE(reports(0, low.base));
}

TEST_F(rmpopt_test, refused_rmpupdate_leaves_the_bit)
{
    ASSERT_TRUE(optimise(0, high.base).cf);
    ASSERT_EQ(update(high_2m + 1, guest_page()), rmp_status::fail_input);
    EXPECT_TRUE(reports(0, high.base));
}

TEST_F(rmpopt_test, nothing_sets_a_bit_again_but_rmpopt)
{
    ASSERT_TRUE(optimise(0, high.base).cf);
    ASSERT_EQ(assign(high_2m), rmp_status::success);
    ASSERT_EQ(release(high_2m), rmp_status::success);
    EXPECT_FALSE(reports(0, high.base));
    EXPECT_TRUE(optimise(0, high.base).cf);
}

// Windows of cores that differ.

TEST_F(rmpopt_test, window_can_start_anywhere)
{
    build("venice");
    enable_snp();
    enable_rmpopt(2 * gb);
    EXPECT_TRUE(optimise(0, high.base).cf);
    EXPECT_FALSE(optimise(0, low.base).cf);
    EXPECT_FALSE(optimise(0, hole).cf);
    EXPECT_TRUE(optimise(0, 2049 * gb).cf);
    EXPECT_FALSE(optimise(0, 2050 * gb).cf);
}

TEST_F(rmpopt_test, rmpupdate_clears_the_bit_whatever_the_base_of_the_core)
{
    build("venice");
    enable_snp();
    ASSERT_EQ(write_msr(0, msr::rmpopt_base, gb | 1), msr_result::done);
    ASSERT_EQ(write_msr(2, msr::rmpopt_base, 2 * gb | 1), msr_result::done);
    ASSERT_TRUE(optimise(0, high.base).cf);
    ASSERT_TRUE(optimise(2, high.base).cf);
    ASSERT_EQ(assign(high_2m), rmp_status::success);
    EXPECT_FALSE(reports(0, high.base));
    EXPECT_FALSE(reports(2, high.base));
}

TEST_F(rmpopt_test, result_is_taken_over_between_cores_with_different_bases)
{
    build("venice");
    enable_snp();
    ASSERT_EQ(write_msr(0, msr::rmpopt_base, 1), msr_result::done);
    ASSERT_EQ(write_msr(2, msr::rmpopt_base, 2 * gb | 1), msr_result::done);
    ASSERT_TRUE(optimise(0, high.base).cf);
    ASSERT_TRUE(optimise(2, high.base).cf);
    EXPECT_EQ(m->counters().rmpopt_cached, 1u);
}

TEST_F(rmpopt_test, region_is_clean_looks_at_512_entries)
{
    unsigned looked_at = 0;
    EXPECT_TRUE(region_is_clean(m->rmp(), high.base, looked_at));
    EXPECT_EQ(looked_at, 512u);
}

TEST_F(rmpopt_test, region_is_clean_at_the_top_of_the_address_space)
{
    unsigned looked_at = 0;
    EXPECT_TRUE(region_is_clean(m->rmp(), align_down(~0ull, gb), looked_at));
    EXPECT_EQ(looked_at, 512u);
}

// The table alone.

class rmpopt_table_test : public testing::TestWithParam<std::uint64_t>
{
  protected:
    void SetUp() override { table.set_msr(base | rmpopt_enable); }
    const spa_t base = GetParam();
    rmpopt_table table;
};

TEST_P(rmpopt_table_test, has_bits_for_2_tb_from_its_base)
{
    EXPECT_TRUE(table.in_window(base));
    EXPECT_TRUE(table.in_window(base + 2048 * gb - 1));
}

TEST_P(rmpopt_table_test, has_no_bit_after_its_window)
{
    EXPECT_FALSE(table.in_window(base + 2048 * gb));
    EXPECT_FALSE(table.in_window(~0ull));
    EXPECT_FALSE(table.test(base + 2048 * gb));
}

TEST_P(rmpopt_table_test, has_no_bit_before_its_window)
{
    if (base != 0) {
        EXPECT_FALSE(table.in_window(base - 1));
        EXPECT_FALSE(table.test(0));
    }
}

TEST_P(rmpopt_table_test, starts_empty)
{
    for (unsigned i = 0; i < rmpopt_regions; ++i) {
        ASSERT_FALSE(table.test(base + i * gb)) << "region " << i;
    }
}

TEST_P(rmpopt_table_test, each_region_has_a_bit_of_its_own)
{
    for (const unsigned i : {0u, 1u, 63u, 64u, 1000u, 2047u}) {
        table.set(base + i * gb + 12345);
        for (unsigned j = 0; j < rmpopt_regions; ++j) {
            ASSERT_EQ(table.test(base + j * gb), i == j) << "set " << i << ", tested " << j;
        }
        table.clear(base + i * gb + gb - 1);
        ASSERT_FALSE(table.test(base + i * gb));
    }
}

TEST_P(rmpopt_table_test, clear_outside_the_window_does_nothing)
{
    table.set(base);
    table.clear(base + 2048 * gb);
    table.clear(~0ull);
    EXPECT_TRUE(table.test(base));
}

TEST_P(rmpopt_table_test, set_outside_the_window_does_nothing)
{
    table.set(base + 2048 * gb);
    table.set(~0ull);
    for (unsigned i = 0; i < rmpopt_regions; ++i) {
        ASSERT_FALSE(table.test(base + i * gb)) << "region " << i;
    }
}

TEST_P(rmpopt_table_test, clear_all_leaves_no_bit)
{
    table.set(base);
    table.set(base + 2047 * gb);
    table.clear_all();
    EXPECT_FALSE(table.test(base));
    EXPECT_FALSE(table.test(base + 2047 * gb));
}

// What keeps an answer of test() asks for it again when the version has gone up.
TEST_P(rmpopt_table_test, version_goes_up_with_each_change_and_with_nothing_else)
{
    const auto goes_up = [&](auto change) {
        const std::uint64_t before = table.version();
        change();
        EXPECT_GE(table.version(), before);
        return table.version() != before;
    };
    for (const unsigned i : {0u, 1u, 65u}) {
        const spa_t region = base + i * gb;
        EXPECT_FALSE(goes_up([&] { table.clear(region); })) << "a clear bit";
        EXPECT_TRUE(goes_up([&] { table.set(region); }));
        EXPECT_FALSE(goes_up([&] { table.set(region); })) << "a set bit";
        EXPECT_TRUE(goes_up([&] { table.clear(region); }));
        EXPECT_FALSE(goes_up([&] { table.clear_all(); })) << "an empty table";
        table.set(region);
        EXPECT_TRUE(goes_up([&] { table.clear_all(); }));
    }
    EXPECT_FALSE(goes_up([&] { table.set(base + 2048 * gb); }));
    EXPECT_FALSE(goes_up([&] { table.clear(base + 2048 * gb); }));
    EXPECT_FALSE(goes_up([&] { table.set_msr(base | rmpopt_enable); }));
    EXPECT_TRUE(goes_up([&] { table.set_msr(base); })) << "disabled";
    EXPECT_TRUE(goes_up([&] { table.set_msr(base ^ gb); })) << "moved";
}

INSTANTIATE_TEST_SUITE_P(bases, rmpopt_table_test,
                         testing::Values(0, gb, 5 * gb, 1024 * gb, 262143 * gb));

TEST(rmpopt_table, base_is_what_stands_above_the_enable_bit)
{
    rmpopt_table t;
    t.set_msr(7 * gb | 1);
    EXPECT_TRUE(t.enabled());
    EXPECT_EQ(t.base(), 7 * gb);
    t.set_msr(7 * gb);
    EXPECT_FALSE(t.enabled());
}

TEST_F(rmpopt_test, cannot_verify_a_segment_with_reserved_bits)
{
    build();
    set_rst(2, 1ull << 52 | high_segment | 1);
    enable_all();
    EXPECT_FALSE(optimise(0, high.base).cf);
    EXPECT_TRUE(optimise(0, low.base).cf);
}

// AMD, RMPOPT series: without CPUID 8000_0025 EDX[0] there is no RMPOPT, whatever its register
// holds.
TEST_F(rmpopt_test, is_undefined_without_its_feature_bit_whatever_the_register_holds)
{
    build("turin");
    enable_snp();
    m->core(0).rmpopt.set_msr(rmpopt_enable);
    EXPECT_EQ(optimise(0, low_2m).exception, fault::ud);
}

} // namespace

} // namespace rmpopt::hw
