// SPDX-License-Identifier: GPL-2.0-or-later
// RMPREAD: refusals, then what it returns.
#include "host_insn_fixture.h"

#include <gtest/gtest.h>

namespace rmpopt::hw
{

namespace
{

class rmpread_test : public host_insn_fixture
{
  protected:
    rmp_record read(spa_t spa)
    {
        rmp_record r;
        EXPECT_EQ(rmpread(*m, spa, r), rmp_status::success);
        return r;
    }
    void expect_refused_read(spa_t spa)
    {
        const rmp_record untouched{.gpa = 0x77};
        rmp_record r = untouched;
        EXPECT_EQ(rmpread(*m, spa, r), rmp_status::fail_input);
        EXPECT_EQ(r, untouched);
    }
};

TEST_F(rmpread_test, refuses_an_address_inside_a_page)
{
    expect_refused_read(low_2m + 1);
}

TEST_F(rmpread_test, refuses_a_page_that_is_not_covered)
{
    expect_refused_read(hole);
    expect_refused_read(beyond);
}

TEST_F(rmpread_test, returns_what_rmpupdate_wrote)
{
    const rmp_record r = immutable(guest_page(9, 0x5000));
    ASSERT_EQ(update(low_2m + page_4k, r), rmp_status::success);
    EXPECT_EQ(read(low_2m + page_4k), r);
}

TEST_F(rmpread_test, returns_zero_for_an_unassigned_page)
{
    EXPECT_EQ(read(low_2m), rmp_record{});
}

TEST_F(rmpread_test, returns_the_size_of_a_2m_page_at_its_base_only)
{
    ASSERT_EQ(assign_2m(low_2m), rmp_status::success);
    EXPECT_TRUE(read(low_2m).size_2m);
    EXPECT_FALSE(read(low_2m + page_4k).size_2m);
    EXPECT_TRUE(read(low_2m + page_4k).assigned);
}

TEST_F(rmpread_test, sets_the_region_status_when_another_page_is_assigned)
{
    ASSERT_EQ(assign(low_2m + page_4k), rmp_status::success);
    EXPECT_TRUE(read(low_2m).hpage_region_status);
    EXPECT_FALSE(read(low_2m).assigned);
}

TEST_F(rmpread_test, does_not_set_the_region_status_for_the_base_itself)
{
    ASSERT_EQ(assign(low_2m), rmp_status::success);
    EXPECT_FALSE(read(low_2m).hpage_region_status);
}

TEST_F(rmpread_test, does_not_set_the_region_status_of_a_page_that_is_not_2m_aligned)
{
    ASSERT_EQ(assign(low_2m + page_4k), rmp_status::success);
    ASSERT_EQ(assign(low_2m + 2 * page_4k), rmp_status::success);
    EXPECT_FALSE(read(low_2m + page_4k).hpage_region_status);
}

TEST_F(rmpread_test, does_not_tell_the_guest_s_state)
{
    ASSERT_EQ(assign(low_2m), rmp_status::success);
    const rmp_record before = read(low_2m);
    use_as_guest(low_2m);
    EXPECT_EQ(read(low_2m), before);
}

TEST_F(rmpread_test, counts_all_that_was_asked)
{
    read(low_2m);
    rmp_record r;
    EXPECT_EQ(rmpread(*m, low_2m + 8, r), rmp_status::fail_input);
    EXPECT_EQ(m->counters().rmpread, 2u);
}

} // namespace

} // namespace rmpopt::hw
