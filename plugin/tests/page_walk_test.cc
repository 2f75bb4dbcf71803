// SPDX-License-Identifier: GPL-2.0-or-later
#include "x86/page_tables.h"

#include "hw-model/base/x86_bits.h"

#include <array>
#include <gtest/gtest.h>

namespace rmpopt
{

namespace
{

using outcome = walk_result::outcome;

constexpr std::uint64_t present = 1, writable = 2, user = 4, accessed = 0x20, dirty = 0x40,
                        large = 0x80, no_execute = 1ull << 63;

/// 1 MB of RAM at 1 MB: one table of each level, from which tests take entries away.
class page_walk_test : public testing::Test
{
  protected:
    static constexpr hw::spa_t ram = 0x100000;
    static constexpr std::uint64_t va = 0xffff888012345678;
    static constexpr hw::spa_t tables[] = {ram + 0x1000, ram + 0x2000, ram + 0x3000, ram + 0x4000,
                                           ram + 0x5000}; ///< by level, page table first
    static constexpr hw::spa_t page = 0x7654321000;

    void SetUp() override
    {
        for (unsigned level = 4; level > 0; --level) {
            set(level, tables[level - 1] | present | writable);
        }
        set(0, page | present | writable);
    }
    hw::spa_t entry_at(unsigned level) const
    {
        return tables[level] + 8 * ((at >> (12 + 9 * level)) & 0x1ff);
    }
    void set(unsigned level, std::uint64_t value) const { memory.store(entry_at(level), value); }
    std::uint64_t get(unsigned level) const { return *memory.load<std::uint64_t>(entry_at(level)); }
    void five_levels()
    {
        state.cr4 |= cr4_la57;
        state.cr3 = tables[4];
    }
    walk_result access(access_kind kind) const
    {
        return walk(
            memory, state, at, kind,
            [](const void *self, hw::spa_t entry) {
                const hw::spa_t page = static_cast<const page_walk_test *>(self)->protected_table;
                return hw::align_down(entry, hw::page_4k) != page;
            },
            this);
    }
    walk_result read() const { return access(access_kind::read); }
    walk_result write() const { return access(access_kind::write); }
    static void expect_fault(const walk_result &r, std::uint32_t code)
    {
        EXPECT_EQ(r.kind, outcome::page_fault);
        EXPECT_EQ(r.error_code, code);
    }

    std::array<std::byte, 0x100000> bytes{};
    hw::memory_view memory{{{ram, bytes.size(), bytes.data()}}};
    paging_state state{.cr0 = cr0_wp, .cr3 = tables[3]};
    std::uint64_t at = va;
    hw::spa_t protected_table = 0; ///< its entries may not be marked
};

TEST_F(page_walk_test, finds_a_4k_page)
{
    const walk_result r = read();
    EXPECT_EQ(r.kind, outcome::ok);
    EXPECT_EQ(r.spa, page + 0x678);
    EXPECT_EQ(r.page_bytes, hw::page_4k);
}

TEST_F(page_walk_test, finds_a_2m_page)
{
    set(1, (7 * hw::page_2m) | present | large);
    const walk_result r = read();
    EXPECT_EQ(r.spa, 7 * hw::page_2m + 0x145678);
    EXPECT_EQ(r.page_bytes, hw::page_2m);
}

TEST_F(page_walk_test, finds_a_1g_page)
{
    set(2, (7 * hw::region_1g) | present | large);
    const walk_result r = read();
    EXPECT_EQ(r.spa, 7 * hw::region_1g + 0x12345678);
    EXPECT_EQ(r.page_bytes, hw::region_1g);
}

TEST_F(page_walk_test, does_not_take_the_pat_bit_of_a_large_page_for_address)
{
    set(1, (7 * hw::page_2m) | 0x1000 | present | large);
    EXPECT_EQ(read().spa, 7 * hw::page_2m + 0x145678);
}

TEST_F(page_walk_test, does_not_take_the_pat_bit_of_a_4k_page_for_a_size)
{
    set(0, page | present | large);
    EXPECT_EQ(read().spa, page + 0x678);
}

TEST_F(page_walk_test, ignores_cache_bits_and_no_execute_and_the_c_bit)
{
    state.cr3 |= 0x18;
    set(0, page | present | 0x18 | no_execute | 1ull << 51);
    EXPECT_EQ(read().spa, page + 0x678);
}

TEST_F(page_walk_test, walks_five_levels_with_la57)
{
    at = 0x00ff888012345678;
    SetUp();
    five_levels();
    EXPECT_EQ(read().spa, page + 0x678);
}

TEST_F(page_walk_test, finds_the_top_entry_missing_with_la57)
{
    five_levels();
    set(4, 0);
    expect_fault(read(), 0);
}

TEST_F(page_walk_test, refuses_an_address_that_is_not_canonical)
{
    at = 0x0000800000000000;
    EXPECT_EQ(read().kind, outcome::general_protection);
    at = 0xffff7fffffffffff;
    EXPECT_EQ(write().kind, outcome::general_protection);
}

TEST_F(page_walk_test, refuses_an_address_that_is_not_canonical_with_la57)
{
    five_levels();
    at = 0x0100000000000000;
    EXPECT_EQ(read().kind, outcome::general_protection);
}

TEST_F(page_walk_test, refuses_a_canonical_address_of_5_levels_with_4)
{
    at = 0x00ff888012345678;
    EXPECT_EQ(read().kind, outcome::general_protection);
}

TEST_F(page_walk_test, faults_where_any_level_is_not_present)
{
    for (unsigned level = 0; level < 4; ++level) {
        SetUp();
        set(level, get(level) & ~present);
        expect_fault(read(), 0);
        expect_fault(write(), 2);
    }
}

TEST_F(page_walk_test, faults_where_tables_are_not_in_ram)
{
    set(2, 0x40000000 | present | writable);
    expect_fault(read(), 0);
    state.cr3 = 0x40000000;
    expect_fault(write(), 2);
}

TEST_F(page_walk_test, write_faults_where_any_level_is_read_only)
{
    for (unsigned level = 0; level < 4; ++level) {
        SetUp();
        set(level, get(level) & ~writable);
        expect_fault(write(), 3);
        EXPECT_EQ(read().kind, outcome::ok);
    }
}

TEST_F(page_walk_test, write_to_a_read_only_page_is_allowed_without_wp)
{
    state.cr0 = 0;
    set(0, page | present);
    EXPECT_EQ(write().kind, outcome::ok);
}

TEST_F(page_walk_test, user_page_faults_with_smap)
{
    state.cr4 |= cr4_smap;
    for (unsigned level = 0; level < 4; ++level) {
        set(level, get(level) | user);
    }
    expect_fault(read(), 1);
    expect_fault(write(), 3);
}

TEST_F(page_walk_test, user_page_is_accessible_with_smap_and_ac)
{
    state.cr4 |= cr4_smap;
    state.rflags = rflags_ac;
    for (unsigned level = 0; level < 4; ++level) {
        set(level, get(level) | user);
    }
    EXPECT_EQ(read().kind, outcome::ok);
}

TEST_F(page_walk_test, user_page_is_accessible_without_smap)
{
    for (unsigned level = 0; level < 4; ++level) {
        set(level, get(level) | user);
    }
    EXPECT_EQ(write().kind, outcome::ok);
}

TEST_F(page_walk_test, page_with_a_supervisor_level_is_no_user_page)
{
    state.cr4 |= cr4_smap;
    for (unsigned level = 0; level < 3; ++level) {
        set(level, get(level) | user);
    }
    EXPECT_EQ(read().kind, outcome::ok);
}

TEST_F(page_walk_test, read_sets_accessed_on_all_levels)
{
    ASSERT_EQ(read().kind, outcome::ok);
    for (unsigned level = 0; level < 4; ++level) {
        EXPECT_NE(get(level) & accessed, 0u) << "level " << level;
        EXPECT_EQ(get(level) & dirty, 0u) << "level " << level;
    }
}

TEST_F(page_walk_test, write_sets_dirty_on_the_page_only)
{
    ASSERT_EQ(write().kind, outcome::ok);
    EXPECT_EQ(get(0) & (accessed | dirty), accessed | dirty);
    for (unsigned level = 1; level < 4; ++level) {
        EXPECT_EQ(get(level) & (accessed | dirty), accessed) << "level " << level;
    }
}

TEST_F(page_walk_test, write_sets_dirty_on_a_large_page)
{
    set(1, (7 * hw::page_2m) | present | writable | large);
    ASSERT_EQ(write().kind, outcome::ok);
    EXPECT_NE(get(1) & dirty, 0u);
}

TEST_F(page_walk_test, fault_sets_neither_accessed_nor_dirty)
{
    set(0, page | present);
    expect_fault(write(), 3);
    for (unsigned level = 0; level < 4; ++level) {
        EXPECT_EQ(get(level) & (accessed | dirty), 0u) << "level " << level;
    }
}

TEST_F(page_walk_test, looking_marks_nothing)
{
    const std::array<std::byte, 0x100000> before = bytes;
    EXPECT_EQ(translate(memory, state, at, access_kind::write).spa, page | 0x678);
    EXPECT_EQ(translate(memory, state, at, access_kind::read).spa, page | 0x678);
    EXPECT_EQ(bytes, before);
}

TEST_F(page_walk_test, table_that_may_not_be_written_keeps_its_bits)
{
    protected_table = tables[1];
    const std::uint64_t before = get(1);
    const walk_result r = read();
    EXPECT_EQ(r.kind, outcome::refused_mark);
    EXPECT_EQ(r.table_entry, entry_at(1));
    EXPECT_EQ(get(1), before);
    EXPECT_EQ(get(0) & accessed, 0u);
}

TEST_F(page_walk_test, table_that_has_its_bits_need_not_be_writable)
{
    protected_table = tables[0];
    set(0, get(0) | accessed);
    EXPECT_EQ(read().kind, outcome::ok);
    EXPECT_EQ(write().kind, outcome::refused_mark);
    set(0, get(0) | dirty);
    EXPECT_EQ(write().kind, outcome::ok);
}

class kernel_map_test : public page_walk_test
{
  protected:
    static constexpr std::size_t parts = 8;
    using map = std::vector<bool>;

    void SetUp() override
    {
        at = 0xffff888000000000;
        for (unsigned level = 4; level > 0; --level) {
            set(level, tables[level - 1] | present | writable);
        }
        set(0, 0);
    }
    map mapped(std::uint64_t part_bytes = hw::region_1g) const
    {
        return mapped_by_kernel(large_memory, state, part_bytes, parts).value_or(map{});
    }
    /// What holds the tables, and much that nobody looks at.
    hw::memory_view large_memory{
        {{ram, bytes.size(), bytes.data()}, {hw::region_1g, 8 * hw::region_1g, bytes.data()}}};

    static map only(std::initializer_list<std::size_t> some)
    {
        map out(parts);
        for (const std::size_t part : some) {
            out[part] = true;
        }
        return out;
    }
};

TEST_F(kernel_map_test, nothing)
{
    EXPECT_EQ(mapped(), only({}));
}

TEST_F(kernel_map_test, pages_of_each_size)
{
    set(0, 3 * hw::region_1g | present | no_execute);
    EXPECT_EQ(mapped(), only({3}));
    set(1, 5 * hw::region_1g | present | large);
    EXPECT_EQ(mapped(), only({5}));
    set(2, 6 * hw::region_1g | present | large);
    EXPECT_EQ(mapped(), only({6}));
}

TEST_F(kernel_map_test, a_page_of_several_parts_of_which_some_are_ram)
{
    set(1, 0 | present | large | 1 << 12 /* PAT */);
    EXPECT_EQ(mapped(hw::page_2m / 4), only({2, 3}));
}

TEST_F(kernel_map_test, no_ram)
{
    set(0, 0x40000 | present);
    EXPECT_EQ(mapped(), only({}));
}

TEST_F(kernel_map_test, beyond_the_last_part_and_not_present)
{
    set(0, 8 * hw::region_1g | present);
    EXPECT_EQ(mapped(), only({}));
    set(0, 3 * hw::region_1g);
    EXPECT_EQ(mapped(), only({}));
}

TEST_F(kernel_map_test, the_lower_half_is_not_the_kernels)
{
    set(3, 0);
    at = 0x7fff80000000;
    for (unsigned level = 4; level > 0; --level) {
        set(level, tables[level - 1] | present | writable);
    }
    set(0, 3 * hw::region_1g | present);
    EXPECT_EQ(mapped(), only({}));
}

TEST_F(kernel_map_test, five_levels)
{
    set(0, 3 * hw::region_1g | present);
    page_walk_test::five_levels();
    EXPECT_EQ(mapped(), only({3}));
}

TEST_F(kernel_map_test, tables_outside_ram_and_in_circles)
{
    set(1, 0x7654321000 | present);
    EXPECT_EQ(mapped(), only({}));
    set(3, tables[3] | present);
    EXPECT_EQ(mapped().size(), parts);
}

TEST_F(kernel_map_test, too_many_entries)
{
    set(0, 3 * hw::region_1g | present);
    constexpr std::uint64_t four_tables = 4 * 512;
    EXPECT_EQ(mapped_by_kernel(large_memory, state, hw::region_1g, parts, four_tables), only({3}));
    EXPECT_FALSE(mapped_by_kernel(large_memory, state, hw::region_1g, parts, four_tables - 1));
}

} // namespace

} // namespace rmpopt
