// SPDX-License-Identifier: GPL-2.0-or-later
// RMPUPDATE: refusals first, in the order of the checks, then changes.
#include "host_insn_fixture.h"

#include <gtest/gtest.h>

namespace rmpopt::hw
{

namespace
{

using rmpupdate_test = host_insn_fixture;

TEST_F(rmpupdate_test, refuses_an_address_inside_a_page)
{
    expect_refused(low_2m + 1, guest_page(), rmp_status::fail_input);
    expect_refused(low_2m + 0x800, guest_page(), rmp_status::fail_input);
}

TEST_F(rmpupdate_test, refuses_a_2m_page_that_is_not_2m_aligned)
{
    expect_refused(low_2m + page_4k, of_2m(guest_page()), rmp_status::fail_input);
    expect_refused(low_2m + page_2m / 2, of_2m({}), rmp_status::fail_input);
}

TEST_F(rmpupdate_test, refuses_an_unassigned_immutable_page)
{
    expect_refused(low_2m, {.immutable = true}, rmp_status::fail_input);
}

TEST_F(rmpupdate_test, refuses_an_unassigned_page_with_an_asid)
{
    expect_refused(low_2m, {.asid = 1}, rmp_status::fail_input);
}

TEST_F(rmpupdate_test, refuses_an_unassigned_page_with_a_high_asid_bit)
{
    expect_refused(low_2m, {.asid = 0x80000000}, rmp_status::fail_input);
}

TEST_F(rmpupdate_test, refuses_an_asid_that_no_entry_can_hold)
{
    expect_refused(low_2m, guest_page(1024), rmp_status::fail_input);
    expect_refused(low_2m, guest_page(0x10001), rmp_status::fail_input);
    EXPECT_EQ(asid_pages(1024), 0u);
}

TEST_F(rmpupdate_test, refuses_a_page_in_a_hole_between_segments)
{
    expect_refused(hole, guest_page(), rmp_status::fail_input);
    expect_refused(hole, of_2m(guest_page()), rmp_status::fail_input);
}

TEST_F(rmpupdate_test, refuses_a_page_beyond_all_segments)
{
    expect_refused(beyond, guest_page(), rmp_status::fail_input);
    expect_refused(align_down(~0ull, page_2m), of_2m(guest_page()), rmp_status::fail_input);
}

TEST_F(rmpupdate_test, refuses_a_page_beyond_a_contiguous_table)
{
    build("genoa", rmp_layout::contiguous);
    enable_snp();
    expect_refused(beyond, guest_page(), rmp_status::fail_input);
}

TEST_F(rmpupdate_test, refuses_a_2m_page_of_which_only_a_part_is_covered)
{
    build("genoa", rmp_layout::none);
    const spa_t end = // half of the last 2 MB
        rmp_base + rmp_bookkeeping_bytes + (low_2m + page_2m / 2) / page_4k * rmp_entry_bytes;
    m->bios_setup({.layout = rmp_layout::contiguous, .base = rmp_base, .end = end - 1});
    enable_snp();
    expect_refused(low_2m, of_2m(guest_page()), rmp_status::fail_input);
    EXPECT_EQ(update(low_2m, guest_page()), rmp_status::success);
}

TEST_F(rmpupdate_test, refuses_to_assign_an_immutable_page)
{
    ASSERT_EQ(update(low_2m, immutable(guest_page())), rmp_status::success);
    expect_refused(low_2m, guest_page(), rmp_status::fail_permission);
}

TEST_F(rmpupdate_test, refuses_to_release_an_immutable_page)
{
    ASSERT_EQ(update(low_2m, immutable(guest_page())), rmp_status::success);
    expect_refused(low_2m, {}, rmp_status::fail_permission);
}

TEST_F(rmpupdate_test, refuses_an_hv_fixed_page)
{
    rmp_entry fixed;
    fixed.immutable = true;
    m->rmp().store(low_2m, fixed);
    expect_refused(low_2m, guest_page(), rmp_status::fail_permission);
}

TEST_F(rmpupdate_test, refuses_an_immutable_2m_page)
{
    ASSERT_EQ(update(low_2m, immutable(of_2m(guest_page()))), rmp_status::success);
    expect_refused(low_2m, of_2m({}), rmp_status::fail_permission);
}

TEST_F(rmpupdate_test, refuses_a_2m_page_over_an_immutable_4k_page)
{
    rmp_entry fixed;
    fixed.immutable = true;
    m->rmp().store(low_2m + 300 * page_4k, fixed);
    expect_refused(low_2m, of_2m(guest_page()), rmp_status::fail_permission);
}

TEST_F(rmpupdate_test, prefers_bad_input_to_an_immutable_page)
{
    ASSERT_EQ(update(low_2m, immutable(guest_page())), rmp_status::success);
    expect_refused(low_2m, {.immutable = true}, rmp_status::fail_input);
}

TEST_F(rmpupdate_test, prefers_an_immutable_page_to_an_overlap)
{
    ASSERT_EQ(update(low_2m, immutable(of_2m(guest_page()))), rmp_status::success);
    expect_refused(low_2m, guest_page(), rmp_status::fail_permission);
}

TEST_F(rmpupdate_test, refuses_4k_at_the_base_of_a_2m_page)
{
    ASSERT_EQ(assign_2m(low_2m), rmp_status::success);
    expect_refused(low_2m, guest_page(), rmp_status::fail_overlap);
    expect_refused(low_2m, {}, rmp_status::fail_overlap);
}

TEST_F(rmpupdate_test, refuses_4k_inside_a_2m_page)
{
    ASSERT_EQ(assign_2m(low_2m), rmp_status::success);
    expect_refused(low_2m + page_4k, guest_page(), rmp_status::fail_overlap);
    expect_refused(low_2m + 511 * page_4k, {}, rmp_status::fail_overlap);
}

TEST_F(rmpupdate_test, refuses_2m_over_an_assigned_4k_base)
{
    ASSERT_EQ(assign(low_2m), rmp_status::success);
    expect_refused(low_2m, of_2m(guest_page()), rmp_status::fail_overlap);
}

TEST_F(rmpupdate_test, refuses_2m_over_an_assigned_4k_page_inside)
{
    ASSERT_EQ(assign(low_2m + 511 * page_4k), rmp_status::success);
    expect_refused(low_2m, of_2m(guest_page()), rmp_status::fail_overlap);
}

TEST_F(rmpupdate_test, refuses_to_release_2m_over_4k_pages)
{
    ASSERT_EQ(assign(low_2m + page_4k), rmp_status::success);
    expect_refused(low_2m, of_2m({}), rmp_status::fail_overlap);
}

TEST_F(rmpupdate_test, takes_the_last_2m_page_that_is_covered)
{
    ASSERT_FALSE(m->rmp().covers(high.end()));
    EXPECT_EQ(assign_2m(high.end() - page_2m), rmp_status::success);
}

TEST_F(rmpupdate_test, counts_refusals_apart)
{
    update(low_2m + 1, guest_page());
    assign(low_2m);
    assign(low_2m + page_4k);
    EXPECT_EQ(m->counters().rmpupdate_failed, 1u);
    EXPECT_EQ(m->counters().rmpupdate, 2u);
}

TEST_F(rmpupdate_test, assigns_a_4k_page)
{
    ASSERT_EQ(update(low_2m + page_4k, guest_page(9, 0x5000)), rmp_status::success);
    const rmp_entry e = entry(low_2m + page_4k);
    EXPECT_TRUE(e.assigned);
    EXPECT_FALSE(e.size_2m || e.immutable || e.lock);
    EXPECT_EQ(e.asid, 9);
    EXPECT_EQ(e.gpa, 0x5000u);
}

TEST_F(rmpupdate_test, assigns_the_highest_asid)
{
    ASSERT_EQ(update(low_2m, guest_page(1023)), rmp_status::success);
    EXPECT_EQ(entry(low_2m).asid, 1023);
}

TEST_F(rmpupdate_test, assigns_an_immutable_firmware_page)
{
    ASSERT_EQ(update(low_2m, {.assigned = true, .immutable = true}), rmp_status::success);
    EXPECT_TRUE(entry(low_2m).immutable);
    EXPECT_EQ(entry(low_2m).asid, 0);
}

TEST_F(rmpupdate_test, assigns_the_last_covered_page)
{
    EXPECT_EQ(assign(high.end() - page_4k), rmp_status::success);
}

TEST_F(rmpupdate_test, assigns_a_2m_page)
{
    ASSERT_EQ(assign_2m(high_2m), rmp_status::success);
    EXPECT_TRUE(entry(high_2m).assigned && entry(high_2m).size_2m);
}

TEST_F(rmpupdate_test, assigns_a_2m_page_again)
{
    ASSERT_EQ(assign_2m(low_2m), rmp_status::success);
    EXPECT_EQ(update(low_2m, of_2m(guest_page(8))), rmp_status::success);
    EXPECT_EQ(entry(low_2m).asid, 8);
}

TEST_F(rmpupdate_test, leaves_a_zero_entry_after_release)
{
    ASSERT_EQ(assign(low_2m + page_4k), rmp_status::success);
    ASSERT_EQ(release(low_2m + page_4k), rmp_status::success);
    EXPECT_EQ(entry(low_2m + page_4k), rmp_entry{});
}

TEST_F(rmpupdate_test, releases_a_2m_page_as_2m)
{
    ASSERT_EQ(assign_2m(low_2m), rmp_status::success);
    ASSERT_EQ(release_2m(low_2m), rmp_status::success);
    EXPECT_EQ(entry(low_2m), rmp_entry{});
    EXPECT_EQ(entry(low_2m + 511 * page_4k), rmp_entry{});
}

TEST_F(rmpupdate_test, releases_what_is_released_already)
{
    EXPECT_EQ(release(low_2m), rmp_status::success);
    EXPECT_EQ(release_2m(low_2m), rmp_status::success);
}

TEST_F(rmpupdate_test, ignores_the_region_status_of_its_input)
{
    rmp_record r = guest_page();
    r.hpage_region_status = true;
    EXPECT_EQ(update(low_2m, r), rmp_status::success);
}

TEST_F(rmpupdate_test, ignores_the_offset_of_the_gpa)
{
    ASSERT_EQ(update(low_2m, guest_page(7, 0x5fff)), rmp_status::success);
    EXPECT_EQ(entry(low_2m).gpa, 0x5000u);
}

TEST_F(rmpupdate_test, gives_vmpl_0_all_permissions_and_the_others_none)
{
    ASSERT_EQ(assign(low_2m), rmp_status::success);
    EXPECT_EQ(entry(low_2m).vmpl, (std::array<std::uint8_t, 4>{vmpl_perm::all, 0, 0, 0}));
}

TEST_F(rmpupdate_test, keeps_the_guest_s_state_when_nothing_changes)
{
    ASSERT_EQ(assign(low_2m), rmp_status::success);
    use_as_guest(low_2m);
    const rmp_entry before = entry(low_2m);
    ASSERT_EQ(assign(low_2m), rmp_status::success);
    EXPECT_EQ(entry(low_2m), before);
}

TEST_F(rmpupdate_test, ends_the_guest_s_state_when_the_asid_changes)
{
    ASSERT_EQ(assign(low_2m), rmp_status::success);
    use_as_guest(low_2m);
    ASSERT_EQ(update(low_2m, guest_page(8)), rmp_status::success);
    EXPECT_FALSE(entry(low_2m).validated || entry(low_2m).vmsa);
    EXPECT_EQ(entry(low_2m).vmpl[1], 0);
}

TEST_F(rmpupdate_test, keeps_as_much_of_the_gpa_as_the_cpu_model_holds)
{
    const rmp_record everything{.gpa = ~0ull, .assigned = true, .asid = 3};
    ASSERT_EQ(update(low_2m, everything), rmp_status::success);
    EXPECT_EQ(entry(low_2m).gpa, 0x7fffffffff000u);
    build("milan", rmp_layout::contiguous);
    enable_snp();
    ASSERT_EQ(update(low_2m, everything), rmp_status::success);
    EXPECT_EQ(entry(low_2m).gpa, 0xfffffffff000u);
}

TEST_F(rmpupdate_test, ends_the_guest_s_state_when_the_gpa_changes)
{
    ASSERT_EQ(assign(low_2m), rmp_status::success);
    use_as_guest(low_2m);
    ASSERT_EQ(update(low_2m, guest_page(7, 0x9000)), rmp_status::success);
    EXPECT_FALSE(entry(low_2m).validated || entry(low_2m).vmsa);
}

TEST_F(rmpupdate_test, ends_the_guest_s_state_when_the_page_leaves_the_guest)
{
    ASSERT_EQ(assign(low_2m), rmp_status::success);
    use_as_guest(low_2m);
    ASSERT_EQ(update(low_2m, {.gpa = 0x1234000, .assigned = true}), rmp_status::success);
    EXPECT_FALSE(entry(low_2m).validated || entry(low_2m).vmsa);
}

TEST_F(rmpupdate_test, keeps_the_guest_s_state_when_only_immutable_changes)
{
    ASSERT_EQ(assign(low_2m), rmp_status::success);
    use_as_guest(low_2m);
    ASSERT_EQ(update(low_2m, immutable(guest_page())), rmp_status::success);
    EXPECT_TRUE(entry(low_2m).validated && entry(low_2m).vmsa);
}

TEST_F(rmpupdate_test, does_not_keep_the_firmware_s_lock)
{
    rmp_entry e;
    e.assigned = e.lock = true;
    m->rmp().store(low_2m, e);
    ASSERT_EQ(assign(low_2m), rmp_status::success);
    EXPECT_FALSE(entry(low_2m).lock);
}

TEST_F(rmpupdate_test, works_on_a_contiguous_table)
{
    build("milan", rmp_layout::contiguous);
    enable_snp();
    EXPECT_EQ(assign(hole), rmp_status::success) << "a contiguous table has entries for holes";
    EXPECT_EQ(assign_2m(high_2m), rmp_status::success);
}

// APM vol. 3, RMPUPDATE: FAIL_PERMISSION when a page is immutable, the last one included.
TEST_F(rmpupdate_test, refuses_2m_over_an_immutable_last_page)
{
    rmp_entry fixed;
    fixed.immutable = true;
    m->rmp().store(low_2m + 511 * page_4k, fixed);
    EXPECT_EQ(assign_2m(low_2m), rmp_status::fail_permission);
    EXPECT_EQ(entry(low_2m + 511 * page_4k), fixed);
}

// APM vol. 2, 15.36.6 and table 15-35: ASID 0 is the secure processor's, which validates nothing.
TEST_F(rmpupdate_test, ends_a_guest_s_state_in_a_page_of_the_secure_processor)
{
    rmp_entry e;
    e.assigned = e.validated = e.vmsa = true;
    e.vmpl = {vmpl_perm::all, vmpl_perm::read, 0, 0};
    m->rmp().store(low_2m, e);
    ASSERT_EQ(update(low_2m, {.assigned = true}), rmp_status::success);
    EXPECT_FALSE(entry(low_2m).validated || entry(low_2m).vmsa);
    EXPECT_EQ(entry(low_2m).vmpl[1], 0);
}

} // namespace

} // namespace rmpopt::hw
