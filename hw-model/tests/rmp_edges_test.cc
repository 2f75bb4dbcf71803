// SPDX-License-Identifier: GPL-2.0-or-later
// Edges of rules that only the mutation check (scripts/mutants.py) showed to be untested.
#include "machine_fixture.h"

namespace rmpopt::hw
{

namespace
{

class rmp_edges : public machine_fixture
{
  protected:
    void SetUp() override { start(); }
};

// APM vol. 3, RMPUPDATE: FAIL_PERMISSION when a page is immutable, the last one included.
TEST_F(rmp_edges, rmpupdate_refuses_2m_over_an_immutable_last_page)
{
    rmp_entry fixed;
    fixed.immutable = true;
    m->rmp().store(low_2m + 511 * page_4k, fixed);
    EXPECT_EQ(assign_2m(low_2m), rmp_status::fail_permission);
    EXPECT_EQ(entry(low_2m + 511 * page_4k), fixed);
}

// APM vol. 2, 15.36.6 and table 15-35: ASID 0 is the secure processor's, which validates nothing.
TEST_F(rmp_edges, rmpupdate_ends_a_guest_s_state_in_a_page_of_the_secure_processor)
{
    rmp_entry e;
    e.assigned = e.validated = e.vmsa = true;
    e.vmpl = {vmpl_perm::all, vmpl_perm::read, 0, 0};
    m->rmp().store(low_2m, e);
    ASSERT_EQ(update(low_2m, {.assigned = true}), rmp_status::success);
    EXPECT_FALSE(entry(low_2m).validated || entry(low_2m).vmsa);
    EXPECT_EQ(entry(low_2m).vmpl[1], 0);
}

// APM vol. 2, 15.36.11: PSMASH is for assigned pages, whatever an unassigned entry says of its
// size.
TEST_F(rmp_edges, psmash_refuses_an_unassigned_entry_with_a_size)
{
    rmp_entry e;
    e.size_2m = true;
    m->rmp().store(low_2m, e);
    EXPECT_EQ(psmash(*m, low_2m), rmp_status::fail_permission);
    EXPECT_EQ(entry(low_2m), e);
}

// AMD, RMPOPT series: splitting a page clears the region on all cores, even if a bit were stale.
TEST_F(rmp_edges, psmash_clears_the_bit_of_the_region_on_all_cores)
{
    ASSERT_EQ(assign_2m(low_2m), rmp_status::success);
    m->core(0).rmpopt.set(low.base);
    m->core(1).rmpopt.set(low.base);
    ASSERT_EQ(psmash(*m, low_2m), rmp_status::success);
    EXPECT_FALSE(m->core(0).rmpopt.test(low.base) || m->core(1).rmpopt.test(low.base));
}

// AMD, RMPOPT series: without CPUID 8000_0025 EDX[0] there is no RMPOPT, whatever its register
// holds.
TEST_F(rmp_edges, rmpopt_is_undefined_without_its_feature_bit)
{
    build("turin");
    enable_snp();
    m->core(0).rmpopt.set_msr(rmpopt_enable);
    EXPECT_EQ(optimise(0, low_2m).exception, fault::ud);
}

} // namespace

} // namespace rmpopt::hw
