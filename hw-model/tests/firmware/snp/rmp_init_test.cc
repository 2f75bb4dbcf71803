// SPDX-License-Identifier: GPL-2.0-or-later
#include "firmware_fixture.h"

#include <array>
#include <ctime>

namespace rmpopt::hw
{
namespace
{

using enum firmware_command;
using enum firmware_status;

constexpr std::uint32_t init_rmp = 1, list_enable = 2;

class snp_rmp_init : public firmware_fixture
{
  protected:
    void expect_range(spa_range r, page_state wanted)
    {
        for (spa_t p = r.base; p < r.end(); p += page_4k) {
            ASSERT_EQ(state(p), wanted) << std::hex << p;
        }
    }
    bool guarded(spa_t page, bool otherwise) const
    {
        bool writable = otherwise;
        for (const rmp_change &g : changes.ranges()) {
            if (page >= g.base && page < g.base + g.bytes) {
                writable = g.host_writable;
            }
        }
        return !writable;
    }
};

TEST_F(snp_rmp_init, ram_is_the_hypervisors_and_the_rest_fixed)
{
    snp_up();
    expect_range({0, 0xa0000}, page_state::hypervisor);
    expect_range({0xa0000, 0x20000}, page_state::hv_fixed); // ASEG
    expect_range({0xc0000, rmp_base - 0xc0000}, page_state::hypervisor);
    expect_range({low.end(), high.base - low.end()}, page_state::hv_fixed);
    expect_range(high, page_state::hypervisor);
    expect_range({high.end(), region_1g - high.end()}, page_state::hv_fixed);
}

TEST_F(snp_rmp_init, the_rmp_owns_itself)
{
    snp_up();
    expect_range({rmp_base, rmp_bookkeeping_bytes + rst_bytes}, page_state::firmware);
    expect_range({segment, 4 * mb}, page_state::firmware);
    EXPECT_EQ(state(segment - page_4k), page_state::hypervisor);
    EXPECT_EQ(state(segment + 4 * mb), page_state::hypervisor);
    EXPECT_TRUE(guarded(segment, true));
    EXPECT_TRUE(guarded(rmp_base, true));
    EXPECT_FALSE(guarded(segment + 4 * mb, true));
    EXPECT_LE(changes.ranges().size(), 2u) << "one for each run";
    EXPECT_EQ(entry(34 * mb).subpage_count, 511);
}

TEST_F(snp_rmp_init, works_on_a_contiguous_rmp)
{
    build("genoa", rmp_layout::contiguous);
    snp_up();
    expect_range({rmp_base, 5 * mb}, page_state::firmware);
    EXPECT_EQ(state(rmp_base + 5 * mb), page_state::hypervisor);
    EXPECT_EQ(changes.ranges().size(), 1u);
}

TEST_F(snp_rmp_init, the_segment_table_survives)
{
    const spa_t rst = rmp_base + rmp_bookkeeping_bytes;
    snp_up();
    EXPECT_EQ(load<std::uint64_t>(rst), segment | 1);
}

TEST_F(snp_rmp_init, listed_ranges_are_fixed)
{
    enable_snp();
    ASSERT_EQ(init_ex(init_rmp | list_enable, {{0x9f000, page_4k}, {16 * mb, 3 * page_4k}}),
              success);
    EXPECT_EQ(state(0x9f000), page_state::hv_fixed);
    expect_range({16 * mb, 3 * page_4k}, page_state::hv_fixed);
    EXPECT_EQ(state(16 * mb + 3 * page_4k), page_state::hypervisor);
    EXPECT_FALSE(guarded(16 * mb, true)) << "fixed pages are the hypervisor's to write";
    rmp_changes fx;
    EXPECT_EQ(rmpupdate(*m, 16 * mb, {.assigned = true}, fx), rmp_status::fail_permission);
}

TEST_F(snp_rmp_init, the_list_may_hold_anything)
{
    enable_snp();
    ASSERT_EQ(init_ex(init_rmp | list_enable, {{rmp_base, 16 * mb},           // the RMP itself
                                               {0xfed1c000, 4 * page_4k},     // MMIO
                                               {uncovered - page_4k, 2 * mb}, // half covered
                                               {16 * mb, 0},                  // empty
                                               {1ull << 50, ~0ull >> 20},     // far away
                                               {20 * mb, page_4k},
                                               {20 * mb, page_4k}}),
              success);
    expect_range({segment, 4 * mb}, page_state::firmware);
    expect_range({segment + 4 * mb, 2 * mb}, page_state::hv_fixed);
    EXPECT_EQ(state(16 * mb), page_state::hypervisor);
    EXPECT_EQ(state(20 * mb), page_state::hv_fixed);
    EXPECT_EQ(state(uncovered - page_4k), page_state::hv_fixed);
}

TEST_F(snp_rmp_init, the_list_is_ignored_unless_enabled)
{
    enable_snp();
    ASSERT_EQ(init_ex(init_rmp, {{16 * mb, page_4k}}), success);
    EXPECT_EQ(state(16 * mb), page_state::hypervisor);
}

TEST_F(snp_rmp_init, a_hostile_list_costs_one_pass)
{
    enable_snp();
    const std::vector<spa_range> all(255, {0, 0xffffffffull * page_4k});
    const std::clock_t before = std::clock();
    ASSERT_EQ(init_ex(init_rmp | list_enable, all), success);
    EXPECT_LT(std::clock() - before, 2 * CLOCKS_PER_SEC);
}

TEST_F(snp_rmp_init, iommu_buffers_are_firmwares_with_a_tag)
{
    m->set_iommu({.buffers = {{8 * mb, 2 * page_4k},
                              {9 * mb + 0x800, 8},          // inside one page
                              {rmp_base, page_4k},          // the RMP's; stays so
                              {low.end(), page_4k},         // no RAM
                              {uncovered + mb, page_4k}}}); // no entry
    snp_up();
    expect_range({8 * mb, 2 * page_4k}, page_state::firmware_iommu);
    EXPECT_EQ(entry(8 * mb).gpa, page_4k);
    EXPECT_EQ(state(9 * mb), page_state::firmware_iommu);
    EXPECT_EQ(state(rmp_base), page_state::firmware);
    EXPECT_TRUE(guarded(8 * mb, true));
}

TEST_F(snp_rmp_init, a_second_init_starts_afresh)
{
    snp_up();
    make_firmware(16 * mb);
    set(18 * mb, guest_entry(false, true));
    make_firmware(20 * mb, true);
    ASSERT_EQ(status_of(snp_df_flush), success);
    ASSERT_EQ(shutdown_ex(0), success);
    ASSERT_EQ(init_ex(init_rmp), success);
    EXPECT_EQ(entry(16 * mb), rmp_entry{});
    EXPECT_EQ(entry(18 * mb), rmp_entry{});
    expect_range({20 * mb, page_2m}, page_state::hypervisor);
    expect_range({segment, 4 * mb}, page_state::firmware);
    EXPECT_FALSE(guarded(16 * mb, false));
    EXPECT_FALSE(guarded(18 * mb, false));
    EXPECT_FALSE(guarded(20 * mb + 5 * page_4k, false));
    EXPECT_TRUE(guarded(segment, true));
}

TEST_F(snp_rmp_init, rubbish_in_the_table_goes)
{
    std::memset(m->memory().at(rmp_base, rmp_bookkeeping_bytes), 0xff, rmp_bookkeeping_bytes);
    std::memset(m->memory().at(segment, 4 * mb), 0x5b, 4 * mb);
    snp_up();
    EXPECT_TRUE(memory_is_zero(rmp_base, rmp_bookkeeping_bytes)) << "no page of any ASID";
    EXPECT_EQ(entry(16 * mb), rmp_entry{});
    EXPECT_EQ(entry(32 * mb).subpage_count, 4 + 256) << "head and a part of the segment";
    EXPECT_FALSE(guarded(16 * mb, false));
}

TEST_F(snp_rmp_init, scattered_assigned_pages_come_back_as_few_ranges)
{
    snp_up();
    for (spa_t p = high.base; p < high.end(); p += 2 * page_4k) {
        set(p, guest_entry(false, true));
    }
    ASSERT_EQ(status_of(snp_df_flush), success);
    ASSERT_EQ(shutdown_ex(0), success);
    ASSERT_EQ(init_ex(init_rmp), success);
    EXPECT_LE(changes.ranges().size(), 4100u);
    for (spa_t p = high.base; p < high.end(); p += 2 * page_4k) {
        ASSERT_FALSE(guarded(p, false));
    }
}

TEST_F(snp_rmp_init, optimised_regions_are_forgotten)
{
    enable_snp();
    m->core(0).rmpopt.set_msr(1);
    m->core(1).rmpopt.set_msr(1);
    m->core(0).rmpopt.set(0);
    m->core(1).rmpopt.set(5 * region_1g);
    ASSERT_EQ(status_of(snp_init), success);
    EXPECT_FALSE(m->core(0).rmpopt.test(0));
    EXPECT_FALSE(m->core(1).rmpopt.test(5 * region_1g));
}

TEST_F(snp_rmp_init, pages_that_become_writable_are_told_in_runs)
{
    snp_up();
    make_firmware(16 * mb);
    make_firmware(16 * mb + page_4k);
    make_firmware(18 * mb, true);
    make_firmware(20 * mb);
    ASSERT_EQ(status_of(snp_df_flush), success);
    ASSERT_EQ(shutdown_ex(0), success);
    ASSERT_EQ(init_ex(init_rmp), success);
    ASSERT_GE(changes.ranges().size(), 2u);
    EXPECT_EQ(changes.ranges()[0], (rmp_change{16 * mb, 2 * page_4k, true}));
    EXPECT_EQ(changes.ranges()[1], (rmp_change{18 * mb, page_2m + page_4k, true}));
}

TEST_F(snp_rmp_init, a_failed_init_changes_nothing)
{
    enable_snp();
    set(16 * mb, guest_entry(false, true));
    m->thread(0).vm_hsave_pa = page_4k;
    EXPECT_EQ(init_ex(init_rmp), invalid_config);
    EXPECT_EQ(state(16 * mb), page_state::guest_valid);
    EXPECT_EQ(state(segment), page_state::hypervisor);
    EXPECT_TRUE(changes.ranges().empty());
}

/// A machine of one run of RAM from 0 with a segmented RMP at its end.
struct big_machine {
    explicit big_machine(std::uint64_t gb) : ram(gb * region_1g)
    {
        const spa_t entries = gb * region_1g / page_4k * rmp_entry_bytes;
        base = gb * region_1g - entries - (1ull << 20);
        table = base + (1ull << 20);
        machine::settings s;
        s.cpu = find_cpu_model("venice");
        s.cpus.core_of_thread = {0};
        s.memory = memory_view({{0, gb * region_1g, ram.data()}});
        m = std::make_unique<machine>(std::move(s));
        m->memory().store<std::uint64_t>(base + rmp_bookkeeping_bytes, table | gb);
        m->bios_setup({.layout = rmp_layout::segmented, .base = base, .segment_shift = 36});
        rmp_changes ignored;
        wrmsr(*m, 0, msr::syscfg,
              m->thread(0).syscfg | syscfg_mfdm | syscfg_snp_en | syscfg_vmpl_en, ignored);
    }

    sparse_memory ram;
    spa_t base = 0, table = 0;
    std::unique_ptr<machine> m;
};

TEST(snp_big_rmp, of_64_gb_takes_little_time_and_few_effects)
{
    big_machine big(64);
    firmware fw(*big.m);
    const std::clock_t before = std::clock();
    const firmware_result result = fw.execute(static_cast<std::uint16_t>(snp_init), 0);
    EXPECT_EQ(result.status, 0);
    EXPECT_LT(std::clock() - before, 5 * CLOCKS_PER_SEC);
    EXPECT_LE(result.rmp_changes.ranges().size(), 2u);
}

TEST(snp_big_rmp, entries_that_need_no_change_are_not_written)
{
    big_machine big(2);
    // Entries of 512 MB to 1 GB: RAM all of it, and far from the table's own pages.
    std::byte *entries = big.m->memory().at(big.table + (2 << 20), 2 << 20);
    ASSERT_EQ(mprotect(entries, 2 << 20, PROT_READ), 0);
    firmware fw(*big.m);
    EXPECT_EQ(fw.execute(static_cast<std::uint16_t>(snp_init), 0).status, 0);
}

} // namespace
} // namespace rmpopt::hw
