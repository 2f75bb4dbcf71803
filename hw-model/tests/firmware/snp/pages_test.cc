// SPDX-License-Identifier: GPL-2.0-or-later
#include "firmware_fixture.h"

namespace rmpopt::hw
{
namespace
{

using enum firmware_command;
using enum firmware_status;

constexpr spa_t size_2m = 1;
constexpr spa_t page = 16ull << 20;

using snp_pages = firmware_fixture;

rmp_entry assigned(unsigned asid, bool immutable, bool validated, bool vmsa, std::uint64_t gpa)
{
    rmp_entry e;
    e.assigned = true;
    e.asid = static_cast<std::uint16_t>(asid);
    e.immutable = immutable;
    e.validated = validated;
    e.vmsa = vmsa;
    e.gpa = gpa;
    return e;
}

TEST(page_state, follows_the_abi_table)
{
    EXPECT_EQ(state_of({}), page_state::hypervisor);
    EXPECT_EQ(state_of(hv_fixed_entry()), page_state::hv_fixed);
    EXPECT_EQ(state_of(firmware_entry()), page_state::firmware);
    EXPECT_EQ(state_of(firmware_iommu_entry()), page_state::firmware_iommu);
    EXPECT_EQ(state_of(assigned(0, false, false, false, 0)), page_state::reclaim);
    EXPECT_EQ(state_of(assigned(0, true, false, true, 0)), page_state::context);
    EXPECT_EQ(state_of(assigned(0, true, false, false, 0x5000)), page_state::metadata);
    EXPECT_EQ(state_of(assigned(3, true, false, false, 0x5000)), page_state::pre_guest);
    EXPECT_EQ(state_of(assigned(3, true, true, false, 0x5000)), page_state::pre_swap);
    EXPECT_EQ(state_of(assigned(3, false, false, false, 0x5000)), page_state::guest_invalid);
    EXPECT_EQ(state_of(assigned(3, false, true, true, 0x5000)), page_state::guest_valid);
}

TEST(page_state, firmware_entries_look_as_on_hardware)
{
    EXPECT_EQ(firmware_entry().encode().lo, 0x8000000000000005u);
    EXPECT_EQ(hv_fixed_entry().encode().lo, 0x4u);
}

TEST_F(snp_pages, reclaim_needs_init)
{
    EXPECT_EQ(reclaim(page), invalid_platform_state);
}

TEST_F(snp_pages, reclaim_checks_the_address)
{
    snp_up();
    EXPECT_EQ(reclaim(uncovered), invalid_address);
    EXPECT_EQ(reclaim(~0ull << 12), invalid_address);
    EXPECT_EQ(reclaim(page + 0x10), invalid_address);
    EXPECT_EQ(reclaim(page + 2), invalid_address);
    EXPECT_EQ(reclaim((page + page_4k) | size_2m), invalid_address) << "no 2 MB boundary";
}

TEST_F(snp_pages, reclaim_turns_a_firmware_page_into_a_reclaim_page)
{
    snp_up();
    make_firmware(page);
    EXPECT_EQ(reclaim(page), success);
    const rmp_entry e = entry(page);
    EXPECT_TRUE(e.assigned);
    EXPECT_FALSE(e.immutable || e.validated || e.vmsa || e.lock);
    EXPECT_EQ(e.asid, 0);
    EXPECT_TRUE(changes.ranges().empty()) << "the host still may not write it";
    EXPECT_EQ(reclaim(page), success) << "once more, as Linux does";
    rmp_changes fx;
    EXPECT_EQ(rmpupdate(*m, page, rmp_record{}, fx), rmp_status::success);
    EXPECT_EQ(state(page), page_state::hypervisor);
}

TEST_F(snp_pages, reclaim_accepts_the_c_bit)
{
    snp_up();
    make_firmware(page);
    EXPECT_EQ(reclaim(page | 1ull << 51), success);
}

TEST_F(snp_pages, reclaim_ends_a_launch_or_a_swap)
{
    snp_up();
    set(page, guest_entry(true, false));
    EXPECT_EQ(reclaim(page), success);
    EXPECT_EQ(entry(page), guest_entry(false, false));
    set(page, guest_entry(true, true));
    EXPECT_EQ(reclaim(page), success);
    EXPECT_EQ(entry(page), guest_entry(false, true));
}

TEST_F(snp_pages, reclaim_takes_metadata)
{
    snp_up();
    set(page, assigned(0, true, false, false, 0x5000));
    EXPECT_EQ(reclaim(page), success);
    EXPECT_EQ(state(page), page_state::reclaim);
    EXPECT_EQ(entry(page).gpa, 0u);
}

TEST_F(snp_pages, reclaim_leaves_mutable_guest_pages_alone)
{
    snp_up();
    set(page, guest_entry(false, true));
    EXPECT_EQ(reclaim(page), success);
    EXPECT_EQ(entry(page), guest_entry(false, true));
}

TEST_F(snp_pages, reclaim_refuses_what_is_not_its_to_give)
{
    snp_up();
    EXPECT_EQ(reclaim(page), invalid_page_state) << "hypervisor";
    EXPECT_EQ(reclaim(0xa0000), invalid_page_state) << "HV-fixed";
    set(page, assigned(0, true, false, true, 0));
    EXPECT_EQ(reclaim(page), invalid_page_state) << "context";
    EXPECT_EQ(state(page), page_state::context);
    EXPECT_EQ(reclaim(segment), invalid_page_state) << "the RMP";
    EXPECT_EQ(reclaim(rmp_base), invalid_page_state) << "its head";
    EXPECT_EQ(state(segment), page_state::firmware);
}

TEST_F(snp_pages, reclaim_refuses_the_trusted_region_while_it_is_in_use)
{
    snp_up();
    make_tmr_firmware();
    ASSERT_EQ(platform_init_es(tmr, page_2m), success);
    EXPECT_EQ(reclaim(tmr + 3 * page_4k), invalid_page_state);
    ASSERT_EQ(status_of(shutdown), success);
    for (spa_t p = tmr; p < tmr + page_2m; p += page_4k) {
        ASSERT_EQ(reclaim(p), success);
    }
}

TEST_F(snp_pages, reclaim_minds_the_page_size)
{
    snp_up();
    make_firmware(page, true);
    EXPECT_EQ(reclaim(page), invalid_page_size);
    EXPECT_EQ(reclaim(page + page_4k), invalid_page_size) << "part of a 2 MB page";
    EXPECT_EQ(reclaim(page | size_2m), success);
    EXPECT_TRUE(entry(page).size_2m);
    EXPECT_EQ(state(page), page_state::reclaim);
    make_firmware(18 * mb);
    EXPECT_EQ(reclaim((18 * mb) | size_2m), invalid_page_size);
    EXPECT_EQ(state(18 * mb), page_state::firmware);
}

TEST_F(snp_pages, reclaim_keeps_the_subpage_count)
{
    snp_up();
    make_firmware(page);
    make_firmware(page + page_4k);
    EXPECT_EQ(entry(page).subpage_count, 1);
    EXPECT_EQ(reclaim(page), success);
    EXPECT_EQ(reclaim(page + page_4k), success);
    EXPECT_EQ(entry(page).subpage_count, 1) << "reclaimed pages are assigned pages";
}

TEST_F(snp_pages, status_to_a_2_mb_firmware_page_reclaims_all_of_it)
{
    snp_up();
    make_firmware(page, true);
    EXPECT_EQ(run_with(snp_platform_status, page + 5 * page_4k), success);
    EXPECT_EQ(state(page), page_state::reclaim);
    EXPECT_TRUE(entry(page).size_2m);
    EXPECT_EQ(reclaim(page | size_2m), success);
}

} // namespace
} // namespace rmpopt::hw
