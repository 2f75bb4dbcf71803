// SPDX-License-Identifier: GPL-2.0-or-later
// RMPUPDATE, PSMASH, RMPREAD: refusals first, in the order of the checks, then changes.
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

class rmpupdate_test : public machine_fixture
{
  protected:
    void SetUp() override
    {
        build();
        enable_snp();
        changes.clear();
    }
    /// An update that must fail with `s` and change nothing.
    void expect_refused(spa_t spa, const rmp_record &r, rmp_status s)
    {
        const rmp_entry page = entry(align_down(spa, page_4k));
        const rmp_entry base = entry(align_down(spa, page_2m));
        changes.clear();
        EXPECT_EQ(update(spa, r), s);
        EXPECT_EQ(entry(align_down(spa, page_4k)), page);
        EXPECT_EQ(entry(align_down(spa, page_2m)), base);
        EXPECT_TRUE(changes.ranges().empty());
    }
    /// What a guest does with PVALIDATE and RMPADJUST.
    void use_as_guest(spa_t spa)
    {
        rmp_entry e = entry(spa);
        e.validated = true;
        e.vmsa = true;
        e.vmpl = {15, 3, 1, 0};
        m->rmp().store(spa, e);
    }
};

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

TEST_F(rmpupdate_test, counts_refusals_apart)
{
    update(low_2m + 1, guest_page());
    assign(low_2m);
    EXPECT_EQ(m->counters().rmpupdate_failed, 1u);
    EXPECT_EQ(m->counters().rmpupdate, 1u);
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

class psmash_test : public rmpupdate_test
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
    expect_refused_psmash(low_2m, rmp_status::fail_permission);
}

TEST_F(psmash_test, refuses_a_4k_page)
{
    ASSERT_EQ(assign(low_2m), rmp_status::success);
    expect_refused_psmash(low_2m, rmp_status::fail_permission);
}

TEST_F(psmash_test, refuses_an_immutable_page)
{
    ASSERT_EQ(update(low_2m, immutable(of_2m(guest_page()))), rmp_status::success);
    expect_refused_psmash(low_2m, rmp_status::fail_permission);
}

TEST_F(psmash_test, refuses_with_7_when_the_policy_says_so)
{
    policy p;
    p.psmash_kind = choice::psmash_kind::fail_badaddr;
    build("venice", rmp_layout::segmented, p);
    enable_snp();
    expect_refused_psmash(low_2m, rmp_status::fail_badaddr);
}

TEST_F(psmash_test, refuses_a_page_that_is_smashed_already)
{
    ASSERT_EQ(assign_2m(low_2m), rmp_status::success);
    ASSERT_EQ(psmash(*m, low_2m), rmp_status::success);
    expect_refused_psmash(low_2m, rmp_status::fail_permission);
}

TEST_F(psmash_test, counts_refusals_apart)
{
    ASSERT_EQ(assign_2m(low_2m), rmp_status::success);
    psmash(*m, low_2m);
    psmash(*m, low_2m);
    EXPECT_EQ(m->counters().psmash, 1u);
    EXPECT_EQ(m->counters().psmash_failed, 1u);
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

class rmpread_test : public rmpupdate_test
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
