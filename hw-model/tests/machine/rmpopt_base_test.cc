// SPDX-License-Identifier: GPL-2.0-or-later
// RMPOPT_BASE: when it can be written, what becomes of the table, and when it falls.
#include "machine_fixture.h"

#include <gtest/gtest.h>

namespace rmpopt::hw
{

namespace
{

constexpr std::uint64_t gb = region_1g;

using rmpopt_base_test = machine_fixture;

TEST_F(rmpopt_base_test, starts_at_zero)
{
    EXPECT_EQ(read_msr(0, msr::rmpopt_base), 0u);
}

TEST_F(rmpopt_base_test, is_shared_by_siblings)
{
    enable_snp();
    ASSERT_EQ(write_msr(1, msr::rmpopt_base, 3 * gb | 1), msr_result::done);
    EXPECT_EQ(read_msr(0, msr::rmpopt_base), 3 * gb | 1);
    EXPECT_EQ(read_msr(2, msr::rmpopt_base), 0u);
}

TEST_F(rmpopt_base_test, faults_on_a_cpu_without_rmpopt)
{
    build("turin");
    enable_snp();
    EXPECT_EQ(write_msr(0, msr::rmpopt_base, 0), msr_result::gp0);
    std::uint64_t ignored = 0;
    EXPECT_EQ(rdmsr(*m, 0, msr::rmpopt_base, ignored), msr_result::gp0);
}

TEST_F(rmpopt_base_test, cannot_be_enabled_without_snp_en)
{
    enable_snp(0);
    EXPECT_EQ(write_msr(2, msr::rmpopt_base, 1), msr_result::gp0);
    EXPECT_EQ(read_msr(2, msr::rmpopt_base), 0u);
}

TEST_F(rmpopt_base_test, cannot_be_enabled_with_a_contiguous_rmp)
{
    build("venice", rmp_layout::contiguous);
    enable_snp();
    EXPECT_EQ(write_msr(0, msr::rmpopt_base, 1), msr_result::gp0);
}

TEST_F(rmpopt_base_test, with_a_contiguous_rmp_takes_what_does_not_enable_it)
{
    build("venice", rmp_layout::contiguous);
    enable_snp();
    EXPECT_EQ(write_msr(0, msr::rmpopt_base, 5 * gb), msr_result::done);
    EXPECT_EQ(read_msr(0, msr::rmpopt_base), 5 * gb);
}

TEST_F(rmpopt_base_test, cannot_be_written_without_snp_en)
{
    enable_snp(0);
    for (const std::uint64_t value : {std::uint64_t{0}, 5 * gb}) {
        EXPECT_EQ(write_msr(2, msr::rmpopt_base, value), msr_result::gp0);
    }
    EXPECT_EQ(read_msr(2, msr::rmpopt_base), 0u);
}

TEST_F(rmpopt_base_test, ignores_a_write_without_snp_en_when_the_policy_says_so)
{
    build("venice", rmp_layout::segmented, {.wrmsr_nosnp = choice::wrmsr_nosnp::ignore});
    for (const std::uint64_t value : {std::uint64_t{1}, 5 * gb}) {
        EXPECT_EQ(write_msr(0, msr::rmpopt_base, value), msr_result::done);
    }
    EXPECT_EQ(read_msr(0, msr::rmpopt_base), 0u);
}

TEST_F(rmpopt_base_test, takes_a_base_before_it_is_enabled)
{
    enable_snp();
    EXPECT_EQ(write_msr(0, msr::rmpopt_base, 5 * gb), msr_result::done);
    EXPECT_EQ(write_msr(0, msr::rmpopt_base, 3 * gb), msr_result::done);
    EXPECT_EQ(write_msr(0, msr::rmpopt_base, 0), msr_result::done);
    EXPECT_EQ(write_msr(0, msr::rmpopt_base, 2 * gb | 1), msr_result::done);
    EXPECT_EQ(read_msr(0, msr::rmpopt_base), 2 * gb | 1);
}

TEST_F(rmpopt_base_test, stays_once_it_is_enabled)
{
    enable_all();
    ASSERT_TRUE(optimise(0, 0).cf);
    for (const std::uint64_t value : {std::uint64_t{0}, gb, gb | 1}) {
        EXPECT_EQ(write_msr(0, msr::rmpopt_base, value), msr_result::gp0);
        EXPECT_EQ(write_msr(1, msr::rmpopt_base, value), msr_result::gp0) << "the sibling";
    }
    EXPECT_EQ(read_msr(0, msr::rmpopt_base), 1u);
    EXPECT_TRUE(reports(0, 0));
}

TEST_F(rmpopt_base_test, ignores_a_change_while_enabled_when_the_policy_says_so)
{
    start({.rmpopt_locked = choice::rmpopt_locked::ignore});
    ASSERT_TRUE(optimise(0, 0).cf);
    for (const std::uint64_t value : {std::uint64_t{0}, gb | 1}) {
        EXPECT_EQ(write_msr(0, msr::rmpopt_base, value), msr_result::done);
    }
    EXPECT_EQ(read_msr(0, msr::rmpopt_base), 1u);
    EXPECT_TRUE(reports(0, 0));
}

TEST_F(rmpopt_base_test, can_be_changed_while_enabled_when_the_policy_says_so)
{
    start({.rmpopt_locked = choice::rmpopt_locked::allow});
    EXPECT_EQ(write_msr(0, msr::rmpopt_base, gb | 1), msr_result::done);
    EXPECT_EQ(read_msr(0, msr::rmpopt_base), gb | 1);
    EXPECT_EQ(write_msr(0, msr::rmpopt_base, 0), msr_result::done);
    EXPECT_EQ(read_msr(0, msr::rmpopt_base), 0u);
}

TEST_F(rmpopt_base_test, falls_with_snp_en)
{
    enable_all();
    m->firmware_clear_snp_en();
    for (unsigned t = 0; t < m->cpus().threads(); ++t) {
        EXPECT_EQ(read_msr(t, msr::rmpopt_base), 0u);
    }
    EXPECT_EQ(write_msr(0, msr::rmpopt_base, 0), msr_result::gp0);
}

TEST_F(rmpopt_base_test, outlives_snp_en_when_the_policy_says_so)
{
    start({.shutdown_msr = choice::shutdown_msr::keep});
    m->firmware_clear_snp_en();
    EXPECT_EQ(read_msr(0, msr::rmpopt_base), 1u);
}

TEST_F(rmpopt_base_test, bits_of_another_base_do_not_outlive_snp_en)
{
    build("venice");
    enable_snp();
    enable_rmpopt(gb);
    ASSERT_TRUE(optimise(0, gb).cf);
    m->firmware_clear_snp_en();
    EXPECT_FALSE(m->core(0).rmpopt.test(0));
}

TEST_F(rmpopt_base_test, faults_for_each_reserved_low_bit)
{
    enable_snp();
    for (unsigned bit = 1; bit < 30; ++bit) {
        EXPECT_EQ(write_msr(0, msr::rmpopt_base, 1ull << bit), msr_result::gp0) << "bit " << bit;
    }
}

TEST_F(rmpopt_base_test, faults_above_the_physical_address_width)
{
    enable_snp();
    EXPECT_EQ(write_msr(0, msr::rmpopt_base, 1ull << 48), msr_result::gp0);
    EXPECT_EQ(write_msr(0, msr::rmpopt_base, 1ull << 63), msr_result::gp0);
    EXPECT_EQ(write_msr(0, msr::rmpopt_base, 1ull << 47 | 1), msr_result::done);
}

TEST_F(rmpopt_base_test, follows_the_width_that_the_guest_sees)
{
    build("venice", rmp_layout::segmented, {}, 40);
    enable_snp();
    EXPECT_EQ(write_msr(0, msr::rmpopt_base, 1ull << 40), msr_result::gp0);
    EXPECT_EQ(write_msr(0, msr::rmpopt_base, 1ull << 39), msr_result::done);
}

TEST_F(rmpopt_base_test, drops_reserved_bits_when_the_policy_says_so)
{
    build("venice", rmp_layout::segmented, {.msr_reserved = choice::msr_reserved::ignore});
    enable_snp();
    EXPECT_EQ(write_msr(0, msr::rmpopt_base, 0xffff000000000000 | 2 * gb | 0xffff),
              msr_result::done);
    EXPECT_EQ(read_msr(0, msr::rmpopt_base), 2 * gb | 1);
}

TEST_F(rmpopt_base_test, rewritten_clears_the_table)
{
    enable_all();
    ASSERT_TRUE(optimise(0, 0).cf);
    ASSERT_EQ(write_msr(1, msr::rmpopt_base, 1), msr_result::done);
    EXPECT_FALSE(reports(0, 0));
}

TEST_F(rmpopt_base_test, rewritten_leaves_other_cores)
{
    enable_all();
    ASSERT_TRUE(optimise(2, 0).cf);
    ASSERT_EQ(write_msr(0, msr::rmpopt_base, 1), msr_result::done);
    EXPECT_TRUE(reports(2, 0));
}

TEST_F(rmpopt_base_test, rewritten_keeps_the_table_when_the_policy_says_so)
{
    build("venice", rmp_layout::segmented, {.msr_rewrite = choice::msr_rewrite::keep});
    enable_snp();
    enable_rmpopt();
    ASSERT_TRUE(optimise(0, 0).cf);
    ASSERT_EQ(write_msr(0, msr::rmpopt_base, 1), msr_result::done);
    EXPECT_TRUE(reports(0, 0));
}

TEST_F(rmpopt_base_test, moved_clears_the_table_even_then)
{
    start(
        {.rmpopt_locked = choice::rmpopt_locked::allow, .msr_rewrite = choice::msr_rewrite::keep});
    ASSERT_TRUE(optimise(0, 0).cf);
    ASSERT_EQ(write_msr(0, msr::rmpopt_base, gb | 1), msr_result::done);
    EXPECT_FALSE(reports(0, gb));
}

TEST_F(rmpopt_base_test, refused_leaves_the_table)
{
    enable_all();
    ASSERT_TRUE(optimise(0, 0).cf);
    ASSERT_EQ(write_msr(0, msr::rmpopt_base, 3), msr_result::gp0);
    EXPECT_TRUE(reports(0, 0));
    EXPECT_EQ(read_msr(0, msr::rmpopt_base), 1u);
}

} // namespace

} // namespace rmpopt::hw
