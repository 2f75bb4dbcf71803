// SPDX-License-Identifier: GPL-2.0-or-later
#include "x86/page_tables.h"

#include "hw-model/base/x86_bits.h"

#include <array>
#include <gtest/gtest.h>
#include <vector>

namespace rmpopt
{

namespace
{

using addresses = std::vector<std::uint64_t>;

constexpr std::uint64_t present = 1, large = 0x80, no_execute = 1ull << 63, c_bit = 1ull << 51;
constexpr std::uint64_t page_4m = 0x400000;

/// 2 MB of RAM at 1 MB: one guest table of each level.
class guest_walk_test : public testing::Test
{
  protected:
    static constexpr hw::spa_t ram = 0x100000;
    static constexpr std::uint64_t tables[] = {ram + 0x1000, ram + 0x2000, ram + 0x3000,
                                               ram + 0x4000, ram + 0x5000}; ///< by level
    static constexpr std::uint64_t va = 0xffff888012345678, va_32 = 0xc2345678;
    static constexpr std::uint64_t page = 0x7654321000, page_32 = 0x54321000;

    /// Tables of 8-byte entries for `levels` levels, with 512 entries each.
    void set_up_tables(unsigned levels, std::uint64_t address)
    {
        entry_bytes = 8;
        at = address;
        for (unsigned level = levels - 1; level > 0; --level) {
            set(level, tables[level - 1] | present);
        }
        set(0, page | present);
        paging.guest.cr0 = cr0_pg;
        paging.guest.cr3 = tables[levels - 1];
    }
    void long_mode(unsigned levels = 4)
    {
        set_up_tables(levels, va);
        paging.long_mode = true;
        paging.guest.cr4 = cr4_pae | (levels == 5 ? cr4_la57 : 0);
    }
    /// The top table has 4 entries of 8 bytes and is aligned to 32 bytes.
    void pae()
    {
        set_up_tables(3, va_32);
        memory.store<std::uint64_t>(tables[2] + 0x20 + 8 * (va_32 >> 30), tables[1] | present);
        memory.store<std::uint64_t>(entry_at(2), 0);
        paging.guest.cr3 = tables[2] + 0x20;
        paging.guest.cr4 = cr4_pae;
    }
    void two_levels(std::uint64_t cr4 = 0)
    {
        entry_bytes = 4;
        at = va_32;
        set(1, tables[0] | present);
        set(0, page_32 | present);
        paging.guest = {.cr0 = cr0_pg, .cr3 = tables[1], .cr4 = cr4};
    }

    unsigned shift(unsigned level) const { return 12 + (entry_bytes == 8 ? 9 : 10) * level; }
    std::uint64_t entry_at(unsigned level) const
    {
        const std::uint64_t mask = entry_bytes == 8 ? 0x1ff : 0x3ff;
        return tables[level] + entry_bytes * ((at >> shift(level)) & mask);
    }
    void set(unsigned level, std::uint64_t value) const
    {
        ASSERT_TRUE(memory.write(entry_at(level), &value, entry_bytes));
    }
    std::optional<guest_path> find() const { return find_guest_path(memory, paging, at); }
    void expect_page(std::uint64_t gpa, std::uint64_t page_bytes) const
    {
        const auto path = find();
        ASSERT_TRUE(path.has_value());
        EXPECT_EQ(path->gpa, gpa);
        EXPECT_EQ(path->page_bytes, page_bytes);
    }
    addresses entries(std::uint64_t guest_path::table_entry::*address) const
    {
        addresses out;
        const guest_path path = find().value_or(guest_path{});
        for (unsigned i = 0; i < path.count; ++i) {
            out.push_back(path.entries[i].*address);
        }
        return out;
    }
    addresses gpas() const { return entries(&guest_path::table_entry::gpa); }
    addresses spas() const { return entries(&guest_path::table_entry::spa); }

    std::vector<std::byte> bytes = std::vector<std::byte>(0x200000);
    hw::memory_view memory{{{ram, bytes.size(), bytes.data()}}};
    guest_paging paging;
    unsigned entry_bytes = 8;
    std::uint64_t at = va;
};

TEST_F(guest_walk_test, address_is_physical_without_paging)
{
    at = 0x87654321;
    expect_page(0x87654321, 0);
    EXPECT_EQ(find()->count, 0u);
    paging.guest.cr4 = cr4_pae;
    paging.nested = true; // and is not taken through the nested tables
    expect_page(0x87654321, 0);
}

TEST_F(guest_walk_test, finds_a_4k_page_in_long_mode)
{
    long_mode();
    expect_page(page + 0x678, hw::page_4k);
    EXPECT_EQ(gpas(), (addresses{entry_at(3), entry_at(2), entry_at(1), entry_at(0)}));
    EXPECT_EQ(spas(), gpas());
}

TEST_F(guest_walk_test, finds_a_2m_page_in_long_mode)
{
    long_mode();
    set(1, 7 * hw::page_2m | 0x1000 | present | large); // with the PAT bit
    expect_page(7 * hw::page_2m + 0x145678, hw::page_2m);
    EXPECT_EQ(gpas(), (addresses{entry_at(3), entry_at(2), entry_at(1)}));
}

TEST_F(guest_walk_test, finds_a_1g_page_in_long_mode)
{
    long_mode();
    set(2, 7 * hw::region_1g | present | large);
    expect_page(7 * hw::region_1g + 0x12345678, hw::region_1g);
    EXPECT_EQ(gpas(), (addresses{entry_at(3), entry_at(2)}));
}

TEST_F(guest_walk_test, has_no_large_pages_above_1g)
{
    long_mode();
    set(3, tables[2] | present | large);
    expect_page(page + 0x678, hw::page_4k);
}

TEST_F(guest_walk_test, does_not_take_the_pat_bit_of_a_4k_page_for_a_size)
{
    long_mode();
    set(0, page | present | large);
    expect_page(page + 0x678, hw::page_4k);
}

TEST_F(guest_walk_test, ignores_the_c_bit_and_what_is_no_address)
{
    long_mode();
    paging.guest.cr3 |= c_bit | 0xfff;
    set(1, tables[0] | present | c_bit | no_execute | 0x7ell);
    set(0, page | present | c_bit | no_execute | 0xf7e);
    expect_page(page + 0x678, hw::page_4k);
}

TEST_F(guest_walk_test, walks_five_levels_with_la57)
{
    long_mode(5);
    expect_page(page + 0x678, hw::page_4k);
    EXPECT_EQ(gpas(), (addresses{entry_at(4), entry_at(3), entry_at(2), entry_at(1), entry_at(0)}));
    set(4, 0);
    EXPECT_FALSE(find().has_value());
}

TEST_F(guest_walk_test, ignores_la57_outside_long_mode)
{
    pae();
    paging.guest.cr4 |= cr4_la57;
    expect_page(page + 0x678, hw::page_4k);
}

TEST_F(guest_walk_test, finds_a_4k_page_with_pae)
{
    pae();
    expect_page(page + 0x678, hw::page_4k);
    EXPECT_EQ(gpas(), (addresses{tables[2] + 0x20 + 3 * 8, entry_at(1), entry_at(0)}));
}

TEST_F(guest_walk_test, finds_a_2m_page_with_pae)
{
    pae();
    set(1, 7 * hw::page_2m | present | large);
    expect_page(7 * hw::page_2m + (va_32 & 0x1fffff), hw::page_2m);
}

TEST_F(guest_walk_test, has_no_1g_pages_with_pae)
{
    pae();
    memory.store<std::uint64_t>(tables[2] + 0x20 + 3 * 8, tables[1] | present | large);
    expect_page(page + 0x678, hw::page_4k);
}

TEST_F(guest_walk_test, uses_32_bits_of_cr3_with_pae)
{
    pae();
    paging.guest.cr3 |= 0xabcd00000000001f;
    expect_page(page + 0x678, hw::page_4k);
}

TEST_F(guest_walk_test, finds_a_4k_page_with_32_bit_paging)
{
    two_levels();
    paging.guest.cr3 |= 0xabcd000000000fff;
    expect_page(page_32 + 0x678, hw::page_4k);
    EXPECT_EQ(gpas(), (addresses{entry_at(1), entry_at(0)}));
}

TEST_F(guest_walk_test, reads_4_bytes_of_a_32_bit_entry)
{
    two_levels();
    memory.store<std::uint32_t>(entry_at(0) + 4, 0xffffffff);
    expect_page(page_32 + 0x678, hw::page_4k);
}

TEST_F(guest_walk_test, finds_a_4m_page_with_pse)
{
    two_levels(cr4_pse);
    set(1, 7 * page_4m | present | large);
    expect_page(7 * page_4m + (va_32 & 0x3fffff), page_4m);
    EXPECT_EQ(gpas(), (addresses{entry_at(1)}));
}

TEST_F(guest_walk_test, has_address_bits_39_to_32_of_a_4m_page_in_bits_20_to_13)
{
    two_levels(cr4_pse);
    set(1, 7 * page_4m | 0xa5u << 13 | 1 << 12 | present | large); // with the PAT bit
    expect_page((0xa5ull << 32) + 7 * page_4m + (va_32 & 0x3fffff), page_4m);
}

TEST_F(guest_walk_test, has_no_4m_pages_without_pse)
{
    two_levels();
    set(1, tables[0] | present | large);
    expect_page(page_32 + 0x678, hw::page_4k);
}

TEST_F(guest_walk_test, finds_nothing_where_any_level_is_not_present)
{
    for (unsigned level = 0; level < 5; ++level) {
        long_mode(5);
        set(level, page & ~present);
        EXPECT_FALSE(find().has_value()) << "level " << level;
    }
    for (unsigned level = 0; level < 2; ++level) {
        two_levels(cr4_pse);
        set(level, page_32 | large);
        EXPECT_FALSE(find().has_value()) << "32-bit level " << level;
    }
    pae();
    memory.store<std::uint64_t>(tables[2] + 0x20 + 3 * 8, tables[1]);
    EXPECT_FALSE(find().has_value());
}

TEST_F(guest_walk_test, finds_nothing_where_tables_are_not_in_ram)
{
    long_mode();
    set(2, 0x40000000 | present);
    EXPECT_FALSE(find().has_value());
    paging.guest.cr3 = 0x40000000;
    EXPECT_FALSE(find().has_value());
    two_levels();
    set(1, 0x40000000 | present);
    EXPECT_FALSE(find().has_value());
}

/// Nested tables of 4 KB pages; guest tables at guest-physical addresses `gap` above their system
/// addresses.
class nested_walk_test : public guest_walk_test
{
  protected:
    static constexpr std::uint64_t gap = 6 * hw::region_1g; ///< of guest-physical RAM
    static constexpr hw::spa_t nested[] = {ram + 0x11000, ram + 0x12000, ram + 0x13000,
                                           ram + 0x14000, ram + 0x15000}; ///< by level

    void SetUp() override
    {
        paging.nested = true;
        paging.host.cr3 = nested[3];
        for (unsigned level = 4; level > 0; --level) {
            set_nested(level, nested[level - 1] | present);
        }
        for (unsigned i = 0; i < 0x20; ++i) { // 4 KB pages, the first 128 KB of RAM
            memory.store<std::uint64_t>(nested[0] + 8 * (ram / hw::page_4k + i),
                                        (ram + i * hw::page_4k) | present);
        }
    }
    hw::spa_t nested_entry(unsigned level) const
    {
        return nested[level] + 8 * (((ram + gap) >> (12 + 9 * level)) & 0x1ff);
    }
    void set_nested(unsigned level, std::uint64_t value) const
    {
        memory.store(nested_entry(level), value);
    }
    /// Moves the guest's tables up in its own view.
    void move_tables(unsigned levels)
    {
        for (unsigned level = 1; level < levels; ++level) {
            set(level, (tables[level - 1] + gap) | present);
        }
        paging.guest.cr3 += gap;
    }
    static addresses up(addresses a)
    {
        for (std::uint64_t &x : a) {
            x += gap;
        }
        return a;
    }
};

TEST_F(nested_walk_test, takes_each_table_through_the_nested_ones)
{
    long_mode();
    move_tables(4);
    expect_page(page + 0x678, hw::page_4k);
    const addresses expected{entry_at(3), entry_at(2), entry_at(1), entry_at(0)};
    EXPECT_EQ(gpas(), up(expected));
    EXPECT_EQ(spas(), expected);
}

TEST_F(nested_walk_test, takes_32_bit_tables_through_the_nested_ones)
{
    // A table that 32 bits reach: guest-physical 0xc00000 is system address 1 MB.
    two_levels();
    const std::uint64_t low = 0xc00000;
    memory.store<std::uint64_t>(nested[3], nested[2] | present);
    memory.store<std::uint64_t>(nested[2], nested[1] | present);
    memory.store<std::uint64_t>(nested[1] + 8 * (low / hw::page_2m),
                                hw::spa_t{0} | present | large);
    set(1, (tables[0] + low) | present);
    paging.guest.cr3 = tables[1] + low;
    expect_page(page_32 + 0x678, hw::page_4k);
    EXPECT_EQ(gpas(), (addresses{entry_at(1) + low, entry_at(0) + low}));
    EXPECT_EQ(spas(), (addresses{entry_at(1), entry_at(0)}));
}

TEST_F(nested_walk_test, uses_large_nested_pages)
{
    long_mode();
    move_tables(4);
    set_nested(1, hw::spa_t{0} | present | large);
    expect_page(page + 0x678, hw::page_4k);
    set_nested(2, hw::spa_t{0} | present | large);
    expect_page(page + 0x678, hw::page_4k);
    EXPECT_EQ(spas(), (addresses{entry_at(3), entry_at(2), entry_at(1), entry_at(0)}));
}

TEST_F(nested_walk_test, has_as_many_nested_levels_as_the_host_says)
{
    long_mode();
    move_tables(4);
    paging.host.cr3 = nested[4];
    EXPECT_FALSE(find().has_value());
    paging.host.cr4 = cr4_la57;
    expect_page(page + 0x678, hw::page_4k);
}

TEST_F(nested_walk_test, finds_nothing_where_a_nested_entry_is_not_present)
{
    long_mode();
    move_tables(4);
    for (unsigned level = 0; level < 4; ++level) {
        const std::uint64_t address =
            level == 0 ? nested[0] + 8 * (tables[2] / hw::page_4k) : nested_entry(level);
        const std::uint64_t entry = *memory.load<std::uint64_t>(address);
        memory.store(address, entry & ~present);
        EXPECT_FALSE(find().has_value()) << "nested level " << level;
        memory.store(address, entry);
        EXPECT_TRUE(find().has_value()) << "nested level " << level;
    }
}

TEST_F(nested_walk_test, finds_nothing_where_nested_tables_lead_out_of_ram)
{
    long_mode();
    move_tables(4);
    memory.store<std::uint64_t>(nested[0] + 8 * (tables[0] / hw::page_4k), 0x40000000 | present);
    EXPECT_FALSE(find().has_value());
    paging.host.cr3 = 0x40000000;
    EXPECT_FALSE(find().has_value());
}

TEST_F(nested_walk_test, ignores_nested_tables_when_nested_paging_is_off)
{
    long_mode();
    paging.nested = false;
    paging.host.cr3 = 0x40000000;
    expect_page(page + 0x678, hw::page_4k);
    EXPECT_EQ(spas(), gpas());
}

} // namespace

} // namespace rmpopt
