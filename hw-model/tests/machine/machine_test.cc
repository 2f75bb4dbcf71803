// SPDX-License-Identifier: GPL-2.0-or-later
// The state of the machine and what hangs on a change of an RMP entry.
#include "machine_fixture.h"

#include <gtest/gtest.h>

namespace rmpopt::hw
{

namespace
{

class machine_test : public machine_fixture
{
  protected:
    void replace(spa_t spa, const rmp_entry &e)
    {
        const std::scoped_lock lock(m->rmp_lock());
        m->replace_entry(spa, e, changes);
    }
    static rmp_entry owned(std::uint16_t asid = 7)
    {
        rmp_entry e;
        e.assigned = true;
        e.asid = asid;
        return e;
    }
    static rmp_entry owned_2m(std::uint16_t asid = 7)
    {
        rmp_entry e = owned(asid);
        e.size_2m = true;
        return e;
    }
    unsigned count_at(spa_t base_2m) const { return entry(base_2m).subpage_count; }
};

TEST(topology, cores_are_counted_from_the_highest_number)
{
    EXPECT_EQ((topology{.core_of_thread = {0, 1, 0, 2}}.cores()), 3u);
}

TEST(topology, without_threads_has_no_cores)
{
    EXPECT_EQ(topology{}.cores(), 0u);
}

TEST_F(machine_test, assigned_4k_page_raises_the_count_of_its_2m_region)
{
    replace(low_2m + page_4k, owned());
    replace(low_2m + 511 * page_4k, owned());
    EXPECT_EQ(count_at(low_2m), 2u);
}

TEST_F(machine_test, released_4k_page_lowers_the_count)
{
    replace(low_2m + page_4k, owned());
    replace(low_2m + page_4k, {});
    EXPECT_EQ(count_at(low_2m), 0u);
}

TEST_F(machine_test, all_511_other_pages_can_be_counted)
{
    for (unsigned i = 1; i < pages_per_2m; ++i) {
        replace(low_2m + i * page_4k, owned());
    }
    EXPECT_EQ(count_at(low_2m), 511u);
}

TEST_F(machine_test, base_page_is_not_counted_in_its_own_count)
{
    replace(low_2m, owned());
    EXPECT_EQ(count_at(low_2m), 0u);
}

TEST_F(machine_test, base_page_keeps_the_count_when_it_is_replaced)
{
    replace(low_2m + page_4k, owned());
    replace(low_2m, owned());
    EXPECT_EQ(count_at(low_2m), 1u);
    replace(low_2m, {});
    EXPECT_EQ(count_at(low_2m), 1u);
}

TEST_F(machine_test, count_does_not_change_when_an_assigned_page_changes)
{
    replace(low_2m + page_4k, owned(7));
    replace(low_2m + page_4k, owned(8));
    EXPECT_EQ(count_at(low_2m), 1u);
}

TEST_F(machine_test, count_does_not_change_when_an_unassigned_page_changes)
{
    rmp_entry fixed;
    fixed.immutable = true;
    replace(low_2m + page_4k, fixed);
    EXPECT_EQ(count_at(low_2m), 0u);
}

TEST_F(machine_test, count_of_another_2m_region_does_not_change)
{
    replace(low_2m + page_4k, owned());
    EXPECT_EQ(count_at(low_2m + page_2m), 0u);
    EXPECT_EQ(count_at(low_2m - page_2m), 0u);
}

TEST_F(machine_test, entry_of_2m_marks_all_its_pages_assigned)
{
    replace(low_2m, owned_2m());
    EXPECT_TRUE(entry(low_2m).size_2m);
    for (unsigned i = 1; i < pages_per_2m; ++i) {
        rmp_entry rest;
        rest.assigned = true;
        ASSERT_EQ(entry(low_2m + i * page_4k), rest) << "page " << i;
    }
}

TEST_F(machine_test, entry_of_2m_has_no_count)
{
    replace(low_2m, owned_2m());
    EXPECT_EQ(count_at(low_2m), 0u);
}

TEST_F(machine_test, entry_of_2m_ends_with_its_region)
{
    replace(low_2m, owned_2m());
    EXPECT_EQ(entry(low_2m + page_2m), rmp_entry{});
    EXPECT_EQ(entry(low_2m - page_4k), rmp_entry{});
}

TEST_F(machine_test, released_2m_entry_leaves_512_zero_entries)
{
    replace(low_2m, owned_2m());
    rmp_entry none;
    none.size_2m = true;
    replace(low_2m, none);
    for (unsigned i = 0; i < pages_per_2m; ++i) {
        ASSERT_EQ(entry(low_2m + i * page_4k), rmp_entry{}) << "page " << i;
    }
}

TEST_F(machine_test, pages_are_counted_for_their_asid)
{
    replace(low_2m + page_4k, owned(7));
    replace(high_2m, owned(7));
    replace(high_2m + page_4k, owned(8));
    EXPECT_EQ(asid_pages(7), 2u);
    EXPECT_EQ(asid_pages(8), 1u);
}

TEST_F(machine_test, entry_of_2m_counts_512_pages_for_its_asid)
{
    replace(low_2m, owned_2m(7));
    EXPECT_EQ(asid_pages(7), 512u);
}

TEST_F(machine_test, page_that_changes_hands_is_counted_for_the_new_asid)
{
    replace(low_2m, owned(7));
    replace(low_2m, owned(8));
    EXPECT_EQ(asid_pages(7), 0u);
    EXPECT_EQ(asid_pages(8), 1u);
}

TEST_F(machine_test, released_pages_are_no_longer_counted)
{
    replace(low_2m, owned_2m(7));
    rmp_entry none;
    none.size_2m = true;
    replace(low_2m, none);
    EXPECT_EQ(asid_pages(7), 0u);
}

TEST_F(machine_test, firmware_pages_are_not_counted)
{
    replace(low_2m, owned(0));
    EXPECT_EQ(asid_pages(0), 0u);
}

TEST_F(machine_test, highest_asid_is_counted)
{
    replace(low_2m, owned(1023));
    EXPECT_EQ(asid_pages(1023), 1u);
}

TEST_F(machine_test, assigned_page_is_reported_as_not_writable)
{
    replace(low_2m + page_4k, owned());
    const std::vector<rmp_change> expected{{low_2m + page_4k, page_4k, false}};
    EXPECT_EQ(changes.ranges(), expected);
}

TEST_F(machine_test, assigned_2m_page_is_reported_in_one_piece)
{
    replace(low_2m, owned_2m());
    const std::vector<rmp_change> expected{{low_2m, page_2m, false}};
    EXPECT_EQ(changes.ranges(), expected);
}

TEST_F(machine_test, released_page_is_reported_as_writable)
{
    replace(low_2m, owned());
    changes.clear();
    replace(low_2m, {});
    const std::vector<rmp_change> expected{{low_2m, page_4k, true}};
    EXPECT_EQ(changes.ranges(), expected);
}

TEST_F(machine_test, nothing_is_reported_when_writability_stays)
{
    replace(low_2m, {});
    EXPECT_TRUE(changes.ranges().empty());
    replace(low_2m, owned(7));
    changes.clear();
    replace(low_2m, owned(8));
    EXPECT_TRUE(changes.ranges().empty());
}

TEST_F(machine_test, replaced_entry_clears_the_rmpopt_bit_on_all_cores)
{
    enable_all();
    ASSERT_TRUE(optimise(0, high.base).cf);
    ASSERT_TRUE(optimise(2, high.base).cf);
    replace(high_2m, owned());
    EXPECT_FALSE(m->core(0).rmpopt.test(high.base));
    EXPECT_FALSE(m->core(1).rmpopt.test(high.base));
}

TEST_F(machine_test, replaced_entry_leaves_the_bits_of_other_regions)
{
    enable_all();
    ASSERT_TRUE(optimise(0, low.base).cf);
    replace(high_2m, owned());
    EXPECT_TRUE(m->core(0).rmpopt.test(low.base));
}

TEST(rmp_changes, joins_neighbours_with_the_same_verdict)
{
    rmp_changes l;
    l.add(0x1000, 0x1000, false);
    l.add(0x2000, 0x3000, false);
    const std::vector<rmp_change> expected{{0x1000, 0x4000, false}};
    EXPECT_EQ(l.ranges(), expected);
}

TEST(rmp_changes, does_not_join_neighbours_with_another_verdict)
{
    rmp_changes l;
    l.add(0x1000, 0x1000, false);
    l.add(0x2000, 0x1000, true);
    EXPECT_EQ(l.ranges().size(), 2u);
}

TEST(rmp_changes, does_not_join_across_a_gap)
{
    rmp_changes l;
    l.add(0x1000, 0x1000, false);
    l.add(0x3000, 0x1000, false);
    EXPECT_EQ(l.ranges().size(), 2u);
}

TEST(rmp_changes, does_not_take_empty_ranges)
{
    rmp_changes l;
    l.add(0x1000, 0, false);
    EXPECT_TRUE(l.ranges().empty());
}

TEST_F(machine_test, snp_is_enabled_everywhere_only_when_all_cores_have_it)
{
    enable_snp(0);
    EXPECT_FALSE(m->snp_enabled_everywhere());
    enable_snp(2);
    EXPECT_TRUE(m->snp_enabled_everywhere());
}

TEST_F(machine_test, snp_is_enabled_somewhere_when_one_core_has_it)
{
    EXPECT_FALSE(m->snp_enabled_somewhere());
    enable_snp(3);
    EXPECT_TRUE(m->snp_enabled_somewhere());
}

TEST_F(machine_test, snp_en_of_a_core_is_seen_by_its_threads_only)
{
    enable_snp(0);
    EXPECT_TRUE(m->snp_enabled(1));
    EXPECT_FALSE(m->snp_enabled(2));
}

TEST_F(machine_test, firmware_clears_snp_en_on_all_cores)
{
    enable_snp();
    m->firmware_clear_snp_en();
    EXPECT_FALSE(m->snp_enabled_somewhere());
    EXPECT_EQ(read_msr(0, msr::syscfg) & (syscfg_snp_en | syscfg_vmpl_en), 0u);
}

TEST_F(machine_test, snp_init_clears_all_tables)
{
    enable_all();
    ASSERT_TRUE(optimise(0, low.base).cf);
    ASSERT_TRUE(optimise(2, high.base).cf);
    m->clear_rmpopt_tables();
    EXPECT_FALSE(reports(0, low.base));
    EXPECT_FALSE(reports(2, high.base));
}

TEST_F(machine_test, bios_sets_the_segmented_registers_of_all_threads)
{
    for (unsigned t = 0; t < 4; ++t) {
        EXPECT_EQ(read_msr(t, msr::rmp_base), rmp_base);
        EXPECT_EQ(read_msr(t, msr::rmp_end), 0u);
        EXPECT_EQ(read_msr(t, msr::rmp_cfg), 0x1e01u);
    }
}

TEST_F(machine_test, bios_sets_the_contiguous_registers_of_all_threads)
{
    build("genoa", rmp_layout::contiguous);
    for (unsigned t = 0; t < 4; ++t) {
        EXPECT_EQ(read_msr(t, msr::rmp_base), rmp_base);
        EXPECT_EQ(read_msr(t, msr::rmp_end), contiguous_end);
    }
}

TEST_F(machine_test, reset_returns_the_registers_to_power_on)
{
    enable_all();
    m->set_iommu({.buffers = {{0x1000, 0x1000}}});
    ASSERT_EQ(write_msr(0, msr::hwcr, 0), msr_result::done);
    ASSERT_EQ(write_msr(0, msr::vm_hsave_pa, low_2m), msr_result::pass);
    m->reset();
    EXPECT_FALSE(m->snp_enabled_somewhere());
    EXPECT_EQ(read_msr(0, msr::syscfg), syscfg_reset);
    EXPECT_EQ(read_msr(0, msr::hwcr), hwcr_reset);
    EXPECT_EQ(m->thread(0).vm_hsave_pa, 0u);
    EXPECT_EQ(read_msr(0, msr::rmp_base), 0u);
    EXPECT_EQ(read_msr(0, msr::rmp_end), 0x1fffu);
    EXPECT_EQ(read_msr(0, msr::rmp_cfg), 0u);
    EXPECT_EQ(read_msr(0, msr::rmpopt_base), 0u);
    EXPECT_TRUE(m->iommu().buffers.empty());
}

TEST_F(machine_test, buffers_of_the_iommu_are_whole_pages)
{
    m->set_iommu({.buffers = {{0x3008, 0x1000}, {0x9000, 0x1000}}});
    for (const auto &[spa, wanted] : {std::pair{0x2fffull, false},
                                      {0x3000, true},
                                      {0x4fff, true},
                                      {0x5000, false},
                                      {0x9fff, true},
                                      {0xa000, false}}) {
        EXPECT_EQ(m->is_iommu_buffer(spa), wanted) << std::hex << spa;
    }
}

TEST_F(machine_test, reset_leaves_no_page_covered)
{
    m->reset();
    EXPECT_FALSE(m->rmp().covers(0));
}

TEST_F(machine_test, reset_leaves_no_region_optimised)
{
    enable_all();
    ASSERT_TRUE(optimise(0, low.base).cf);
    m->reset();
    EXPECT_FALSE(m->core(0).rmpopt.test(low.base));
}

TEST_F(machine_test, init_keeps_the_registers_of_the_cpu)
{
    enable_all();
    ASSERT_EQ(write_msr(0, msr::vm_hsave_pa, low_2m), msr_result::pass);
    ASSERT_TRUE(optimise(0, low.base).cf);
    const std::uint64_t syscfg = read_msr(0, msr::syscfg);
    m->init_thread(0);
    EXPECT_EQ(read_msr(0, msr::syscfg), syscfg);
    EXPECT_EQ(read_msr(0, msr::hwcr), hwcr_reset);
    EXPECT_EQ(read_msr(0, msr::rmp_base), rmp_base);
    EXPECT_EQ(read_msr(0, msr::rmpopt_base), 1u);
    EXPECT_EQ(m->thread(0).vm_hsave_pa, low_2m);
    EXPECT_TRUE(reports(0, low.base));
}

TEST_F(machine_test, firmware_s_shutdown_keeps_the_tables)
{
    enable_all();
    ASSERT_TRUE(optimise(0, low.base).cf);
    m->firmware_clear_snp_en();
    EXPECT_TRUE(m->core(0).rmpopt.test(low.base));
}

// Pages that running guests hold.

class held_pages_test : public machine_test
{
  protected:
    void leave(unsigned thread)
    {
        const std::scoped_lock lock(m->rmp_lock());
        m->leave_guest(thread);
    }
    static constexpr spa_t vmcb = low_2m, avic = low_2m + page_4k, vmsa = high_2m;
    static constexpr pages_in_use all{.spa = {vmcb, avic, vmsa}, .count = 3, .avic_backing = avic};
};

TEST_F(held_pages_test, none_is_in_use_without_a_guest)
{
    EXPECT_FALSE(m->page_in_use(vmcb));
    EXPECT_FALSE(m->page_in_use(0));
    EXPECT_FALSE(m->page_in_use_as(0, page_use::control));
}

TEST_F(held_pages_test, are_in_use_while_the_guest_runs)
{
    enter(2, all);
    for (const spa_t page : {vmcb, avic, vmsa}) {
        EXPECT_TRUE(m->page_in_use(page));
        EXPECT_EQ(m->page_in_use_as(page, page_use::avic_backing), page == avic);
        EXPECT_EQ(m->page_in_use_as(page, page_use::control), page != avic);
    }
    EXPECT_FALSE(m->page_in_use(avic + page_4k));
    EXPECT_FALSE(m->page_in_use(vmsa - page_4k));
    leave(2);
    EXPECT_FALSE(m->page_in_use(vmcb));
    EXPECT_FALSE(m->page_in_use_as(avic, page_use::avic_backing));
}

TEST_F(held_pages_test, count_for_the_2m_region_that_they_are_in)
{
    enter(2, {.spa = {low_2m + 511 * page_4k}, .count = 1});
    EXPECT_TRUE(m->page_in_use(low_2m, page_2m));
    EXPECT_FALSE(m->page_in_use(low_2m + page_2m, page_2m));
    EXPECT_FALSE(m->page_in_use(low_2m - page_2m, page_2m));
}

TEST_F(held_pages_test, of_two_guests_are_told_apart)
{
    enter(0, {.spa = {vmcb}, .count = 1});
    enter(3, {.spa = {vmsa}, .count = 1});
    leave(0);
    EXPECT_FALSE(m->page_in_use(vmcb));
    EXPECT_TRUE(m->page_in_use_as(vmsa, page_use::control));
    leave(0);
    EXPECT_TRUE(m->page_in_use_as(vmsa, page_use::control)) << "left twice, counted once";
}

TEST_F(held_pages_test, are_replaced_by_the_next_vmrun)
{
    enter(0, all);
    enter(0, {.spa = {vmsa}, .count = 1});
    EXPECT_FALSE(m->page_in_use(vmcb));
    EXPECT_FALSE(m->page_in_use(avic));
    EXPECT_TRUE(m->page_in_use_as(vmsa, page_use::control));
    leave(0);
    EXPECT_FALSE(m->page_in_use_as(vmsa, page_use::control));
}

TEST_F(held_pages_test, are_let_go_by_init_and_by_reset)
{
    enter(0, all);
    m->init_thread(1);
    EXPECT_TRUE(m->page_in_use(vmcb)) << "the sibling's INIT";
    m->init_thread(0);
    EXPECT_FALSE(m->page_in_use(vmcb));
    enter(0, all);
    m->reset();
    EXPECT_FALSE(m->page_in_use(vmcb));
}

TEST_F(machine_test, no_rmpopt_bit_outlives_a_time_without_checks)
{
    enable_all();
    ASSERT_TRUE(optimise(0, high.base).cf);
    {
        const std::scoped_lock lock(m->rmp_lock());
        m->firmware_clear_snp_en();
    }
    rmp_entry assigned;
    assigned.assigned = true;
    assigned.asid = 1;
    m->rmp().store(high_2m, assigned); // as an ordinary store may now
    enable_snp();
    EXPECT_FALSE(m->core(0).rmpopt.test(high.base));
}

} // namespace

} // namespace rmpopt::hw
