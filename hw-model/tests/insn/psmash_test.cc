// SPDX-License-Identifier: GPL-2.0-or-later
// PSMASH: refusals first, in the order of the checks, then changes.
#include "host_insn_fixture.h"

#include <gtest/gtest.h>

namespace rmpopt::hw
{

namespace
{

class psmash_test : public host_insn_fixture
{
  protected:
    void expect_refused_psmash(spa_t spa, rmp_status s)
    {
        const rmp_entry before = entry(spa);
        EXPECT_EQ(psmash(*m, spa), s);
        EXPECT_EQ(entry(spa), before);
    }
};

TEST_F(psmash_test, refuses_an_address_that_is_not_2m_aligned)
{
    ASSERT_EQ(assign_2m(low_2m), rmp_status::success);
    expect_refused_psmash(low_2m + page_4k, rmp_status::fail_input);
    expect_refused_psmash(low_2m + 1, rmp_status::fail_input);
}

TEST_F(psmash_test, refuses_a_page_that_is_not_covered)
{
    expect_refused_psmash(hole, rmp_status::fail_input);
    expect_refused_psmash(beyond, rmp_status::fail_input);
}

TEST_F(psmash_test, refuses_an_unassigned_page)
{
    expect_refused_psmash(low_2m, rmp_status::fail_badaddr);
}

TEST_F(psmash_test, refuses_a_4k_page)
{
    ASSERT_EQ(assign(low_2m), rmp_status::success);
    expect_refused_psmash(low_2m, rmp_status::fail_badaddr);
}

TEST_F(psmash_test, refuses_an_immutable_page)
{
    ASSERT_EQ(update(low_2m, immutable(of_2m(guest_page()))), rmp_status::success);
    expect_refused_psmash(low_2m, rmp_status::fail_badaddr);
}

TEST_F(psmash_test, refuses_with_2_when_the_policy_says_so)
{
    policy p;
    p.psmash_kind = choice::psmash_kind::fail_permission;
    build("venice", rmp_layout::segmented, p);
    enable_snp();
    expect_refused_psmash(low_2m, rmp_status::fail_permission);
}

TEST_F(psmash_test, refuses_a_page_that_is_smashed_already)
{
    ASSERT_EQ(assign_2m(low_2m), rmp_status::success);
    ASSERT_EQ(psmash(*m, low_2m), rmp_status::success);
    expect_refused_psmash(low_2m, rmp_status::fail_badaddr);
}

TEST_F(psmash_test, counts_refusals_apart)
{
    ASSERT_EQ(assign_2m(low_2m), rmp_status::success);
    psmash(*m, low_2m);
    psmash(*m, low_2m);
    psmash(*m, low_2m);
    EXPECT_EQ(m->counters().psmash, 1u);
    EXPECT_EQ(m->counters().psmash_failed, 2u);
}

TEST_F(psmash_test, makes_512_pages_with_consecutive_gpas)
{
    ASSERT_EQ(update(low_2m, of_2m(guest_page(7, 0x40000000))), rmp_status::success);
    ASSERT_EQ(psmash(*m, low_2m), rmp_status::success);
    for (unsigned i = 0; i < pages_per_2m; ++i) {
        const rmp_entry e = entry(low_2m + i * page_4k);
        ASSERT_TRUE(e.assigned && !e.size_2m) << "page " << i;
        ASSERT_EQ(e.asid, 7);
        ASSERT_EQ(e.gpa, 0x40000000 + i * page_4k);
    }
}

TEST_F(psmash_test, counts_511_other_pages_in_the_base)
{
    ASSERT_EQ(assign_2m(low_2m), rmp_status::success);
    ASSERT_EQ(psmash(*m, low_2m), rmp_status::success);
    EXPECT_EQ(entry(low_2m).subpage_count, 511);
    EXPECT_EQ(entry(low_2m + page_4k).subpage_count, 0);
}

TEST_F(psmash_test, keeps_the_guest_s_state)
{
    ASSERT_EQ(assign_2m(low_2m), rmp_status::success);
    use_as_guest(low_2m);
    ASSERT_EQ(psmash(*m, low_2m), rmp_status::success);
    const rmp_entry e = entry(low_2m + 511 * page_4k);
    EXPECT_TRUE(e.validated && e.vmsa);
    EXPECT_EQ(e.vmpl[1], 3);
}

TEST_F(psmash_test, leaves_the_asid_s_page_count)
{
    ASSERT_EQ(assign_2m(low_2m), rmp_status::success);
    ASSERT_EQ(psmash(*m, low_2m), rmp_status::success);
    EXPECT_EQ(asid_pages(7), 512u);
}

TEST_F(psmash_test, lets_single_pages_be_released)
{
    ASSERT_EQ(assign_2m(low_2m), rmp_status::success);
    ASSERT_EQ(psmash(*m, low_2m), rmp_status::success);
    EXPECT_EQ(release(low_2m + 5 * page_4k), rmp_status::success);
    EXPECT_EQ(release(low_2m), rmp_status::success);
    EXPECT_EQ(entry(low_2m).subpage_count, 510);
    EXPECT_EQ(asid_pages(7), 510u);
}

// APM vol. 2, 15.36.11: PSMASH is for assigned pages, whatever an unassigned entry says of its
// size.
TEST_F(psmash_test, refuses_an_unassigned_entry_with_a_size)
{
    rmp_entry e;
    e.size_2m = true;
    m->rmp().store(low_2m, e);
    EXPECT_EQ(psmash(*m, low_2m), rmp_status::fail_badaddr);
    EXPECT_EQ(entry(low_2m), e);
}

// AMD, RMPOPT series: splitting a page clears the region on all cores, even if a bit were stale.
TEST_F(psmash_test, clears_the_bit_of_the_region_on_all_cores)
{
    ASSERT_EQ(assign_2m(low_2m), rmp_status::success);
    m->core(0).rmpopt.set(low.base);
    m->core(1).rmpopt.set(low.base);
    ASSERT_EQ(psmash(*m, low_2m), rmp_status::success);
    EXPECT_FALSE(m->core(0).rmpopt.test(low.base) || m->core(1).rmpopt.test(low.base));
}

} // namespace

} // namespace rmpopt::hw
