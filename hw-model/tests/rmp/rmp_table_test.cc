// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/rmp/rmp_table.h"
#include "sparse_memory.h"

#include <gtest/gtest.h>

namespace rmpopt::hw
{

namespace
{

constexpr std::uint64_t mb = 1ull << 20;
constexpr std::uint64_t gb = 1ull << 30;

/// 64 MB of RAM at 0 and 16 MB at 256 MB.
class rmp_table_test : public testing::Test
{
  protected:
    static constexpr spa_t base = 16 * mb;
    static constexpr spa_t entries = base + rmp_bookkeeping_bytes;
    static constexpr spa_t ram_end = 64 * mb;
    static constexpr spa_t segment = 20 * mb, other_segment = 32 * mb;

    bool contiguous(spa_t end, spa_t from = base)
    {
        return table.configure({.layout = rmp_layout::contiguous, .base = from, .end = end});
    }
    bool segmented(unsigned shift = 36, spa_t from = base)
    {
        return table.configure(
            {.layout = rmp_layout::segmented, .base = from, .segment_shift = shift});
    }
    void rst(unsigned index, std::uint64_t entry) const
    {
        memory.store(base + rmp_bookkeeping_bytes + 8 * index, entry);
    }
    static rmp_entry some_entry()
    {
        rmp_entry e;
        e.assigned = true;
        e.asid = 5;
        e.gpa = 0x7000;
        e.vmpl = {15, 1, 2, 4};
        return e;
    }

    sparse_memory low{ram_end};
    sparse_memory high{16 * mb};
    memory_view memory{{{0, ram_end, low.data()}, {256 * mb, 16 * mb, high.data()}}};
    rmp_table table{memory};
};

TEST_F(rmp_table_test, contiguous_table_of_16_mb_covers_4_gb)
{
    ASSERT_TRUE(contiguous(0x1103fff, 0x100000)); // the example of APM vol. 2, 15.36.4
    EXPECT_EQ(table.covered_bytes(), 4 * gb);
}

TEST_F(rmp_table_test, contiguous_entry_of_page_0_follows_the_bookkeeping)
{
    ASSERT_TRUE(contiguous(base + mb - 1));
    EXPECT_EQ(table.entry_address(0), entries);
}

TEST_F(rmp_table_test, contiguous_entry_stands_16_bytes_for_each_page_further)
{
    ASSERT_TRUE(contiguous(base + mb - 1));
    EXPECT_EQ(table.entry_address(0x2345678), entries + 0x2345 * 16);
}

TEST_F(rmp_table_test, contiguous_table_covers_the_page_whose_entry_ends_it)
{
    ASSERT_TRUE(contiguous(entries + 15));
    EXPECT_TRUE(table.covers(page_4k - 1));
}

TEST_F(rmp_table_test, contiguous_table_does_not_cover_the_page_after_its_end)
{
    ASSERT_TRUE(contiguous(entries + 15));
    EXPECT_FALSE(table.covers(page_4k));
    EXPECT_EQ(table.entry_address(page_4k), std::nullopt);
}

TEST_F(rmp_table_test, an_entry_that_the_end_cuts_covers_nothing)
{
    ASSERT_TRUE(contiguous(entries + 30));
    EXPECT_EQ(table.covered_bytes(), page_4k);
}

TEST_F(rmp_table_test, contiguous_table_without_room_for_an_entry_is_refused)
{
    EXPECT_FALSE(contiguous(base + rmp_bookkeeping_bytes - 1));
    EXPECT_FALSE(table.covers(0));
}

TEST_F(rmp_table_test, contiguous_table_that_ends_before_it_starts_is_refused)
{
    EXPECT_FALSE(contiguous(base - 1));
}

TEST_F(rmp_table_test, contiguous_table_outside_ram_is_refused)
{
    EXPECT_FALSE(contiguous(101 * mb - 1, 100 * mb));
    EXPECT_TRUE(table.extents().empty());
}

TEST_F(rmp_table_test, contiguous_table_is_cut_where_it_leaves_ram)
{
    ASSERT_TRUE(contiguous(base + gb - 1));
    EXPECT_EQ(table.covered_bytes(), (ram_end - entries) / 16 * page_4k);
}

TEST_F(rmp_table_test, contiguous_table_can_stand_in_a_higher_run_of_ram)
{
    ASSERT_TRUE(contiguous(257 * mb - 1, 256 * mb));
    EXPECT_EQ(table.entry_address(0), 256 * mb + rmp_bookkeeping_bytes);
}

TEST_F(rmp_table_test, segment_base_is_the_entry_of_its_first_page)
{
    rst(0, segment | 1);
    ASSERT_TRUE(segmented());
    EXPECT_EQ(table.entry_address(0), segment);
}

TEST_F(rmp_table_test, segment_is_chosen_by_address_and_shift)
{
    rst(0, segment | 1);
    rst(1, other_segment | 1);
    ASSERT_TRUE(segmented(36));
    EXPECT_EQ(table.entry_address((64 * gb) + 0x5000), other_segment + 5 * 16);
}

TEST_F(rmp_table_test, last_of_512_segments_is_used)
{
    rst(511, segment | 1);
    ASSERT_TRUE(segmented(30));
    EXPECT_EQ(table.entry_address(511 * gb), segment);
}

TEST_F(rmp_table_test, several_segments_add_up)
{
    rst(0, segment | 1);
    rst(2, other_segment | 2);
    ASSERT_TRUE(segmented(31));
    EXPECT_EQ(table.covered_bytes(), 3 * gb);
    EXPECT_EQ(table.extents().size(), 2u);
}

TEST_F(rmp_table_test, hole_between_segments_is_not_covered)
{
    rst(0, segment | 1);
    rst(2, other_segment | 1);
    ASSERT_TRUE(segmented(30));
    EXPECT_FALSE(table.covers(gb));
    EXPECT_FALSE(table.covers(2 * gb - 1));
    EXPECT_TRUE(table.covers(2 * gb));
}

TEST_F(rmp_table_test, memory_behind_the_covered_size_is_not_covered)
{
    rst(0, segment | 2);
    ASSERT_TRUE(segmented(36));
    EXPECT_TRUE(table.covers(2 * gb - 1));
    EXPECT_FALSE(table.covers(2 * gb));
}

TEST_F(rmp_table_test, covered_size_is_cut_to_the_segment)
{
    rst(0, segment | 4);
    ASSERT_TRUE(segmented(31));
    EXPECT_EQ(table.covered_bytes(), 2 * gb);
}

TEST_F(rmp_table_test, covered_size_0_means_no_segment)
{
    rst(0, segment);
    EXPECT_FALSE(segmented());
    EXPECT_FALSE(table.covers(0));
}

TEST_F(rmp_table_test, segmented_table_without_segments_is_refused)
{
    EXPECT_FALSE(segmented());
}

TEST_F(rmp_table_test, segment_table_outside_ram_is_refused)
{
    EXPECT_FALSE(segmented(36, 100 * mb));
}

TEST_F(rmp_table_test, segment_outside_ram_is_left_out)
{
    rst(0, (100 * mb) | 1);
    rst(1, segment | 1);
    ASSERT_TRUE(segmented());
    EXPECT_FALSE(table.covers(0));
    EXPECT_TRUE(table.covers(64 * gb));
}

TEST_F(rmp_table_test, segment_is_cut_where_it_leaves_ram)
{
    rst(0, (ram_end - mb) | 1);
    ASSERT_TRUE(segmented());
    EXPECT_EQ(table.covered_bytes(), mb / 16 * page_4k);
}

TEST_F(rmp_table_test, segment_with_a_bit_above_its_address_covers_nothing)
{
    for (unsigned bit = 52; bit < 64; ++bit) {
        rst(0, 1ull << bit | segment | 1);
        EXPECT_FALSE(segmented()) << "bit " << bit;
        EXPECT_FALSE(table.covers(0));
        EXPECT_TRUE(table.has_reserved_bits(0));
    }
}

TEST_F(rmp_table_test, well_formed_segment_has_no_reserved_bits)
{
    rst(0, segment | 1);
    ASSERT_TRUE(segmented());
    EXPECT_FALSE(table.has_reserved_bits(0));
}

TEST_F(rmp_table_test, no_layout_covers_nothing)
{
    EXPECT_FALSE(table.configure({}));
    EXPECT_FALSE(table.covers(0));
    EXPECT_EQ(table.covered_bytes(), 0u);
    EXPECT_TRUE(table.table_memory().empty());
}

TEST_F(rmp_table_test, reconfiguration_forgets_the_old_table)
{
    ASSERT_TRUE(contiguous(base + mb - 1));
    ASSERT_FALSE(table.configure({}));
    EXPECT_FALSE(table.covers(0));
}

TEST_F(rmp_table_test, page_that_is_not_covered_is_the_hypervisor_s)
{
    ASSERT_TRUE(contiguous(entries + 15));
    EXPECT_EQ(table.load(page_4k), rmp_entry{});
}

TEST_F(rmp_table_test, address_at_the_top_of_the_address_space_is_not_covered)
{
    ASSERT_TRUE(contiguous(base + mb - 1));
    EXPECT_FALSE(table.covers(~0ull));
}

TEST_F(rmp_table_test, stored_entry_stands_in_memory_in_raw_form)
{
    ASSERT_TRUE(contiguous(base + mb - 1));
    table.store(0x3000, some_entry());
    EXPECT_EQ(memory.load<std::uint64_t>(entries + 3 * 16), some_entry().encode().lo);
    EXPECT_EQ(memory.load<std::uint64_t>(entries + 3 * 16 + 8), some_entry().encode().hi);
}

TEST_F(rmp_table_test, entry_written_to_memory_is_loaded)
{
    ASSERT_TRUE(contiguous(base + mb - 1));
    memory.store(entries + 3 * 16, some_entry().encode());
    EXPECT_EQ(table.load(0x3fff), some_entry());
}

TEST_F(rmp_table_test, store_leaves_the_neighbours_alone)
{
    ASSERT_TRUE(contiguous(base + mb - 1));
    table.store(0x3000, some_entry());
    EXPECT_EQ(table.load(0x2000), rmp_entry{});
    EXPECT_EQ(table.load(0x4000), rmp_entry{});
}

TEST_F(rmp_table_test, memory_of_a_contiguous_table_is_bookkeeping_and_entries)
{
    ASSERT_TRUE(contiguous(base + mb - 1));
    const std::vector<spa_range> expected{{base, 16 * 1024}, {entries, mb - 16 * 1024}};
    EXPECT_EQ(table.table_memory(), expected);
}

TEST_F(rmp_table_test, memory_of_a_segmented_table_holds_the_segment_table)
{
    rst(0, segment | 1);
    ASSERT_TRUE(segmented());
    const std::vector<spa_range> expected{{base, 20 * 1024}, {segment, 4 * mb}};
    EXPECT_EQ(table.table_memory(), expected);
}

TEST_F(rmp_table_test, memory_of_a_table_is_whole_pages)
{
    ASSERT_TRUE(contiguous(entries + 15));
    EXPECT_EQ(table.table_memory().back(), (spa_range{entries, page_4k}));
}

// memory_view, which all of this is built on.

TEST_F(rmp_table_test, memory_ends_with_the_highest_run)
{
    EXPECT_EQ(memory.end(), 272 * mb);
    EXPECT_EQ(memory_view{}.end(), 0u);
}

TEST_F(rmp_table_test, memory_access_across_the_end_of_a_run_fails)
{
    EXPECT_EQ(memory.at(ram_end - 8, 16), nullptr);
    EXPECT_NE(memory.at(ram_end - 8, 8), nullptr);
}

TEST_F(rmp_table_test, memory_access_that_wraps_around_fails)
{
    EXPECT_EQ(memory.at(~0ull, 2), nullptr);
    EXPECT_EQ(memory.at(0, ~0ull), nullptr);
}

TEST_F(rmp_table_test, memory_access_of_nothing_needs_no_buffer)
{
    EXPECT_TRUE(memory.read(0, nullptr, 0));
    EXPECT_TRUE(memory.write(0, nullptr, 0));
}

TEST_F(rmp_table_test, memory_access_in_a_hole_fails)
{
    EXPECT_EQ(memory.load<std::uint64_t>(128 * mb), std::nullopt);
    EXPECT_FALSE(memory.store(128 * mb, 1));
}

// Readers hold no lock, so what they were given stays valid.
TEST_F(rmp_table_test, extents_stay_readable_when_the_table_is_replaced)
{
    ASSERT_TRUE(contiguous(base + mb - 1));
    const std::span<const rmp_extent> before = table.extents();
    const std::uint64_t covered = table.covered_bytes();
    table.configure({});
    rst(0, segment | 1);
    ASSERT_TRUE(segmented());
    ASSERT_EQ(before.size(), 1u);
    EXPECT_EQ(before[0].covered_bytes, covered);
}

TEST_F(rmp_table_test, the_same_table_again_takes_no_memory)
{
    ASSERT_TRUE(contiguous(base + mb - 1));
    const rmp_extent *first = table.extents().data();
    table.configure({});
    ASSERT_TRUE(contiguous(base + mb - 1));
    EXPECT_EQ(table.extents().data(), first);
    ASSERT_TRUE(contiguous(base + mb + rmp_entry_bytes - 1));
    EXPECT_NE(table.extents().data(), first);
}

} // namespace

} // namespace rmpopt::hw
