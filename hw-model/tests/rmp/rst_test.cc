// SPDX-License-Identifier: GPL-2.0-or-later
// The segment table at the moment of SNP_EN (APM vol. 2, 15.36.22.3).
#include "machine_fixture.h"

#include <gtest/gtest.h>

namespace rmpopt::hw
{

namespace
{

class rst_test : public machine_fixture
{
  protected:
    void build_limited(unsigned segments)
    {
        cpu = *find_cpu_model("venice");
        cpu.rst_hard_limit = true;
        cpu.cacheable_segments = segments;
        build(cpu);
    }
    msr_result set_snp_en() { return write_msr(0, msr::syscfg, syscfg_reset | syscfg_snp_en); }
    cpu_model cpu;
};

TEST_F(rst_test, hard_limit_accepts_segments_inside_the_address_space)
{
    build_limited(64);
    EXPECT_EQ(set_snp_en(), msr_result::done);
    EXPECT_TRUE(m->rmp().covers(high.base));
}

TEST_F(rst_test, hard_limit_faults_for_a_segment_outside_the_address_space)
{
    for (const unsigned bit : {48u, 51u, 52u, 63u}) {
        build_limited(64);
        set_rst(2, 1ull << bit | high_segment | 1);
        EXPECT_EQ(set_snp_en(), msr_result::gp0) << "bit " << bit;
        EXPECT_FALSE(m->snp_enabled(0));
    }
}

TEST_F(rst_test, hard_limit_faults_for_a_segment_that_ends_outside_the_address_space)
{
    build_limited(64);
    set_rst(2, ((1ull << 48) - 4 * mb) | 1);
    EXPECT_EQ(set_snp_en(), msr_result::done) << "4 MB for 1 GB: just inside";
    build_limited(64);
    set_rst(2, ((1ull << 48) - 3 * mb) | 1);
    EXPECT_EQ(set_snp_en(), msr_result::gp0);
}

TEST_F(rst_test, hard_limit_does_not_look_at_undefined_segments)
{
    build_limited(64);
    set_rst(3, 1ull << 63 | high_segment);
    EXPECT_EQ(set_snp_en(), msr_result::done);
}

TEST_F(rst_test, hard_limit_ignores_segments_beyond_it)
{
    build_limited(2);
    set_rst(2, 1ull << 63 | high_segment | 1);
    EXPECT_EQ(set_snp_en(), msr_result::done);
    EXPECT_TRUE(m->rmp().covers(low.base));
    EXPECT_FALSE(m->rmp().covers(high.base));
    EXPECT_FALSE(m->rmp().has_reserved_bits(high.base));
}

TEST_F(rst_test, without_hard_limit_segments_outside_the_address_space_do_not_fault)
{
    set_rst(2, 1ull << 48 | high_segment | 1);
    EXPECT_EQ(set_snp_en(), msr_result::done);
    EXPECT_TRUE(m->rmp().covers(low.base));
    EXPECT_FALSE(m->rmp().covers(high.base));
    EXPECT_TRUE(m->rmp().has_reserved_bits(high.base));
    EXPECT_TRUE(m->rmp().has_reserved_bits(high.end() - 1));
    EXPECT_FALSE(m->rmp().has_reserved_bits(high.end()));
    EXPECT_FALSE(m->rmp().has_reserved_bits(low.base));
}

TEST_F(rst_test, contiguous_rmp_has_no_segments_to_look_at)
{
    cpu = *find_cpu_model("venice");
    cpu.rst_hard_limit = true;
    build(cpu, rmp_layout::contiguous);
    set_rst(2, ~0ull);
    EXPECT_EQ(set_snp_en(), msr_result::done);
}

} // namespace

} // namespace rmpopt::hw
