// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest_walk.h"

#include <array>
#include <gtest/gtest.h>

namespace rmpopt
{

namespace
{

constexpr std::uint64_t present = 1, large = 0x80;
constexpr std::uint64_t cr0_pg = 1u << 31, cr4_pse = 1 << 4, cr4_pae = 1 << 5, cr4_la57 = 1 << 12;

/// RAM at 1 MB; tables of the guest are pages 1 to 5, root last, those of the host 11 to 15.
class guest_walk_test : public testing::Test
{
  protected:
    static constexpr hw::spa_t ram = 0x100000;
    static constexpr std::uint64_t guest_base = 0x1000000;
    static constexpr std::uint64_t va = 0x7f1234567abc;

    static hw::spa_t page(unsigned n) { return ram + n * hw::page_4k; }
    void set(hw::spa_t table, unsigned index, std::uint64_t value) const
    {
        memory.store(table + 8ull * index, value);
    }
    static unsigned index(std::uint64_t address, unsigned level)
    {
        return (address >> (12 + 9 * level)) & 0x1ff;
    }
    /// Tables for `address` from the one at page(first + levels - 1) down, ending at `target`.
    hw::spa_t map(unsigned first, unsigned levels, std::uint64_t address,
                  std::uint64_t target) const
    {
        for (unsigned level = levels; level-- > 0;) {
            const std::uint64_t next = level == 0 ? target : page(first + level - 1);
            set(page(first + level), index(address, level), next | present);
        }
        return page(first + levels - 1);
    }
    void long_mode(unsigned levels = 4)
    {
        paging.long_mode = true;
        paging.guest.cr0 = cr0_pg;
        paging.guest.cr4 = cr4_pae | (levels == 5 ? cr4_la57 : 0);
        paging.guest.cr3 = map(1, levels, va, 0x5000000);
    }
    /// The guest believes that its tables are at 16 MB; the nested ones put 16 MB to RAM's start.
    void nested(unsigned host_levels)
    {
        paging.nested = true;
        paging.host.cr4 = cr4_pae | (host_levels == 5 ? cr4_la57 : 0);
        for (unsigned n = 0; n < 8; ++n) {
            paging.host.cr3 = map(11, host_levels, guest_base + n * hw::page_4k, page(n));
        }
        paging.long_mode = true;
        paging.guest.cr0 = cr0_pg;
        paging.guest.cr4 = cr4_pae;
        paging.guest.cr3 = guest_base + 4 * hw::page_4k;
        for (unsigned level = 4; level-- > 0;) {
            const std::uint64_t next = level == 0 ? 0x5000000 : guest_base + level * hw::page_4k;
            set(page(1 + level), index(va, level), next | present);
        }
    }
    std::optional<guest_path> find(std::uint64_t address = va) const
    {
        return find_guest_path(memory, paging, address);
    }

    std::array<std::byte, 0x100000> bytes{};
    hw::memory_view memory{{{ram, bytes.size(), bytes.data()}}};
    guest_paging paging;
};

TEST_F(guest_walk_test, without_paging_the_address_is_physical)
{
    const auto p = find(0x1234);
    ASSERT_TRUE(p.has_value());
    EXPECT_EQ(p->gpa, 0x1234u);
    EXPECT_EQ(p->count, 0u);
    EXPECT_EQ(p->page_bytes, 0u);
}

TEST_F(guest_walk_test, four_levels)
{
    long_mode();
    const auto p = find();
    ASSERT_TRUE(p.has_value());
    EXPECT_EQ(p->gpa, 0x5000abcu);
    EXPECT_EQ(p->page_bytes, hw::page_4k);
    EXPECT_EQ(p->count, 4u);
    EXPECT_EQ(p->entries[0].gpa, page(4) + 8 * index(va, 3));
    EXPECT_EQ(p->entries[3].gpa, page(1) + 8 * index(va, 0));
    EXPECT_EQ(p->entries[3].spa, p->entries[3].gpa);
}

TEST_F(guest_walk_test, five_levels)
{
    long_mode(5);
    const auto p = find();
    ASSERT_TRUE(p.has_value());
    EXPECT_EQ(p->gpa, 0x5000abcu);
    EXPECT_EQ(p->count, 5u);
}

TEST_F(guest_walk_test, large_pages)
{
    long_mode();
    set(page(2), index(va, 1), 0x40000000 | present | large);
    EXPECT_EQ(find()->gpa, 0x40000000 + va % hw::page_2m);
    EXPECT_EQ(find()->page_bytes, hw::page_2m);
    set(page(3), index(va, 2), 0x80000000 | present | large);
    EXPECT_EQ(find()->gpa, 0x80000000 + va % hw::region_1g);
    EXPECT_EQ(find()->page_bytes, hw::region_1g);
}

TEST_F(guest_walk_test, absent_entry_ends_the_walk)
{
    for (unsigned level = 0; level < 4; ++level) {
        long_mode();
        set(page(1 + level), index(va, level), 0);
        EXPECT_FALSE(find().has_value()) << level;
    }
}

TEST_F(guest_walk_test, table_outside_ram_ends_the_walk)
{
    long_mode();
    paging.guest.cr3 = 0x80000000;
    EXPECT_FALSE(find().has_value());
    long_mode();
    set(page(3), index(va, 2), 0x90000000 | present);
    EXPECT_FALSE(find().has_value());
}

TEST_F(guest_walk_test, pae)
{
    constexpr std::uint64_t address = 0xc0201abc;
    paging.guest.cr0 = cr0_pg;
    paging.guest.cr4 = cr4_pae;
    paging.guest.cr3 = page(3) + 0x20; // 32-byte aligned
    set(page(3) + 0x20, 3, page(2) | present);
    set(page(2), 1, page(1) | present);
    set(page(1), 1, 0x7000 | present);
    EXPECT_EQ(find(address)->gpa, 0x7abcu);
    EXPECT_EQ(find(address)->count, 3u);
    set(page(2), 1, 0x600000 | present | large);
    EXPECT_EQ(find(address)->gpa, 0x600000u + 0x1abc);
}

TEST_F(guest_walk_test, two_levels_of_32_bits)
{
    constexpr std::uint64_t address = 0x00c02abc;
    paging.guest.cr0 = cr0_pg;
    paging.guest.cr3 = page(2);
    memory.store(page(2) + 4 * 3, static_cast<std::uint32_t>(page(1) | present));
    memory.store(page(1) + 4 * 2, static_cast<std::uint32_t>(0x9000 | present));
    EXPECT_EQ(find(address)->gpa, 0x9abcu);
    memory.store(page(2) + 4 * 3, static_cast<std::uint32_t>(page(1) | present | large));
    EXPECT_EQ(find(address)->gpa, 0x9abcu); // without CR4.PSE the bit means nothing
    memory.store(page(2) + 4 * 3, static_cast<std::uint32_t>(0x800000 | present | large));
    paging.guest.cr4 = cr4_pse;
    EXPECT_EQ(find(address)->gpa, 0x802abcu);
    EXPECT_EQ(find(address)->page_bytes, 1u << 22);
}

TEST_F(guest_walk_test, nested_tables_translate_each_table)
{
    nested(4);
    const auto p = find();
    ASSERT_TRUE(p.has_value());
    EXPECT_EQ(p->gpa, 0x5000abcu); // of the guest: the page itself needs no nested entry
    EXPECT_EQ(p->entries[0].gpa, guest_base + 4 * hw::page_4k + 8 * index(va, 3));
    EXPECT_EQ(p->entries[0].spa, page(4) + 8 * index(va, 3));
    set(page(11), index(guest_base + 2 * hw::page_4k, 0), 0);
    EXPECT_FALSE(find().has_value());
}

TEST_F(guest_walk_test, nested_tables_are_as_deep_as_the_hosts)
{
    nested(5);
    const auto p = find();
    ASSERT_TRUE(p.has_value());
    EXPECT_EQ(p->gpa, 0x5000abcu);
    EXPECT_EQ(p->count, 4u);
    EXPECT_EQ(p->entries[3].spa, page(1) + 8 * index(va, 0));
    paging.host.cr4 = cr4_pae;
    EXPECT_FALSE(find().has_value());
}

} // namespace

} // namespace rmpopt
