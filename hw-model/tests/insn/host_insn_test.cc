// SPDX-License-Identifier: GPL-2.0-or-later
// What RMPUPDATE, PSMASH and RMPREAD have in common: exceptions and flags.
#include "machine_fixture.h"

#include <gtest/gtest.h>

namespace rmpopt::hw
{

namespace
{

class host_insn : public machine_fixture
{
};

TEST_F(host_insn, is_undefined_without_snp_en)
{
    EXPECT_EQ(host_insn_fault(*m, {}), fault::ud);
}

TEST_F(host_insn, is_undefined_when_only_another_core_has_snp_en)
{
    enable_snp(0);
    EXPECT_EQ(host_insn_fault(*m, {.thread = 2}), fault::ud);
}

TEST_F(host_insn, is_undefined_outside_64_bit_mode)
{
    enable_snp();
    EXPECT_EQ(host_insn_fault(*m, {.long_mode = false}), fault::ud);
}

TEST_F(host_insn, is_privileged)
{
    enable_snp();
    for (const unsigned cpl : {1u, 2u, 3u}) {
        EXPECT_EQ(host_insn_fault(*m, {.cpl = cpl}), fault::gp0);
    }
}

TEST_F(host_insn, is_undefined_rather_than_privileged_without_snp_en)
{
    EXPECT_EQ(host_insn_fault(*m, {.cpl = 3}), fault::ud);
}

TEST_F(host_insn, is_allowed_at_cpl_0_with_snp_en)
{
    enable_snp();
    EXPECT_EQ(host_insn_fault(*m, {}), fault::none);
}

TEST_F(host_insn, rmpread_is_undefined_on_a_cpu_without_it)
{
    build("genoa", rmp_layout::contiguous);
    enable_snp();
    EXPECT_EQ(rmpread_fault(*m, {}), fault::ud);
    EXPECT_EQ(host_insn_fault(*m, {}), fault::none);
}

TEST_F(host_insn, rmpread_is_privileged)
{
    enable_snp();
    EXPECT_EQ(rmpread_fault(*m, {.cpl = 3}), fault::gp0);
}

TEST_F(host_insn, rmpread_is_allowed_where_the_cpu_has_it)
{
    enable_snp();
    EXPECT_EQ(rmpread_fault(*m, {}), fault::none);
}

TEST_F(host_insn, only_a_guest_is_refused_by_a_status)
{
    EXPECT_EQ(refused_in_guest({}), std::nullopt);
    EXPECT_EQ(refused_in_guest({.guest_mode = true}), rmp_status::fail_permission);
}

struct flag_case {
    rmp_status status;
    std::uint32_t flags;
};

class flags_of : public testing::TestWithParam<flag_case>
{
};

TEST_P(flags_of, follow_from_the_result)
{
    EXPECT_EQ(status_flags(GetParam().status), GetParam().flags);
}

TEST_P(flags_of, leave_cf_and_others_alone)
{
    EXPECT_EQ(status_flags(GetParam().status) & ~status_flags_mask, 0u);
}

constexpr std::uint32_t zf = 0x40, pf = 0x04;
INSTANTIATE_TEST_SUITE_P(each_code, flags_of,
                         testing::Values(flag_case{rmp_status::success, zf | pf},
                                         flag_case{rmp_status::fail_input, 0},
                                         flag_case{rmp_status::fail_permission, 0},
                                         flag_case{rmp_status::fail_inuse, pf},
                                         flag_case{rmp_status::fail_overlap, 0},
                                         flag_case{rmp_status::fail_sizemismatch, pf},
                                         flag_case{rmp_status::fail_badaddr, 0}));

TEST(status_flags_mask, is_of_sf_zf_af_pf)
{
    EXPECT_EQ(status_flags_mask, 1u << 11 | 1u << 7 | 1u << 6 | 1u << 4 | 1u << 2);
}

} // namespace

} // namespace rmpopt::hw
