// SPDX-License-Identifier: GPL-2.0-or-later
#include "measure/tlb_model.h"

#include <gtest/gtest.h>

namespace
{

using namespace rmpopt;
using hw::page_2m;
using hw::page_4k;
using hw::region_1g;

struct tlb : testing::Test {
    tlb_model model{{.name = "test", .l1_entries = 4, .l2_entries = 16, .l2_ways = 2}};

    /// An access; true when there had to be a walk.
    bool walks(std::uint64_t va, hw::spa_t spa, std::uint64_t page = page_4k, bool global = false)
    {
        model.apply_changes();
        if (model.find(va, spa) != nullptr) {
            return false;
        }
        model.fill(va, {.spa = spa, .page_bytes = page, .global = global});
        return true;
    }
    bool walks_4k(std::uint64_t page) { return walks(page * page_4k, page * page_4k + region_1g); }
    /// A store; true when the RMP is looked at.
    bool checks(std::uint64_t va, hw::spa_t spa, std::uint64_t page = page_4k)
    {
        walks(va, spa, page);
        return model.check_write(*model.find(va, spa), va);
    }
    std::uint64_t flushes(tlb_flush why)
    {
        return model.counters.flushes[static_cast<unsigned>(why)];
    }
};

TEST_F(tlb, one_walk_for_a_page)
{
    EXPECT_TRUE(walks(0x1000, 0x5000));
    EXPECT_FALSE(walks(0x1ff8, 0x5ff8));
    EXPECT_TRUE(walks(0x2000, 0x6000));
    EXPECT_EQ(model.counters.walks, 2u);
}

TEST_F(tlb, one_walk_for_a_large_page)
{
    EXPECT_TRUE(walks(page_2m, 3 * page_2m, page_2m));
    EXPECT_FALSE(walks(2 * page_2m - 8, 4 * page_2m - 8, page_2m));
    EXPECT_TRUE(walks(region_1g, 2 * region_1g, region_1g));
    EXPECT_FALSE(walks(region_1g + 7 * page_2m, 2 * region_1g + 7 * page_2m, region_1g));
}

TEST_F(tlb, the_second_level_has_what_the_first_lost)
{
    for (unsigned page = 0; page < 8; ++page) {
        EXPECT_TRUE(walks_4k(page));
    }
    EXPECT_FALSE(walks_4k(0));
    EXPECT_EQ(model.counters.l2_hits, 1u);
    EXPECT_EQ(model.counters.walks, 8u);
}

TEST_F(tlb, both_levels_end)
{
    for (unsigned page = 0; page < 64; ++page) {
        walks_4k(page);
    }
    EXPECT_TRUE(walks_4k(0));
}

TEST_F(tlb, without_a_second_level)
{
    tlb_model small{{.name = "test", .l1_entries = 1, .l2_entries = 0, .l2_ways = 1}};
    small.fill(0x1000, {.spa = 0x1000, .page_bytes = page_4k});
    EXPECT_NE(small.find(0x1000, 0x1000), nullptr);
    small.fill(0x2000, {.spa = 0x2000, .page_bytes = page_4k});
    EXPECT_EQ(small.find(0x1000, 0x1000), nullptr);
    small.flush_page(tlb_flush::invlpg, 0, 0, 0x2000, true);
    EXPECT_EQ(small.find(0x2000, 0x2000), nullptr);
}

TEST_F(tlb, what_was_used_stays_longer)
{
    for (unsigned page = 0; page < 4; ++page) {
        walks_4k(page);
    }
    walks_4k(4); // all were used: the hand clears them and takes page 0
    walks_4k(1);
    walks_4k(5); // takes page 2, as 1 was used again
    EXPECT_FALSE(walks_4k(1));
    EXPECT_EQ(model.counters.l2_hits, 0u);
    EXPECT_FALSE(walks_4k(2));
    EXPECT_EQ(model.counters.l2_hits, 1u);
}

TEST_F(tlb, the_first_store_is_checked)
{
    walks(0x1000, 0x5000);
    EXPECT_TRUE(checks(0x1000, 0x5000)) << "a load's translation";
    EXPECT_FALSE(checks(0x1008, 0x5008));
    for (unsigned page = 8; page < 12; ++page) { // out of the first level
        walks_4k(page);
    }
    EXPECT_FALSE(checks(0x1000, 0x5000)) << "the second level knows";
}

TEST_F(tlb, address_spaces_are_apart)
{
    model.select(0, 1);
    walks(0x1000, 0x5000);
    model.select(0, 2);
    EXPECT_TRUE(walks(0x1000, 0x6000));
    model.select(0, 1);
    EXPECT_FALSE(walks(0x1000, 0x5000));
    model.select(7, 1);
    EXPECT_TRUE(walks(0x1000, 0x8000)) << "a guest's";
    EXPECT_EQ(model.counters.stale, 0u);
}

TEST_F(tlb, global_pages_belong_to_all_of_an_asid)
{
    model.select(0, 1);
    walks(0x1000, 0x5000, page_4k, true);
    model.select(0, 2);
    EXPECT_FALSE(walks(0x1000, 0x5000, page_4k, true));
    model.select(3, 2);
    EXPECT_TRUE(walks(0x1000, 0x9000, page_4k, true));
}

TEST_F(tlb, flush_pcid_keeps_others_and_global_pages)
{
    model.select(0, 1);
    walks(0x1000, 0x5000);
    walks(0x2000, 0x6000, page_4k, true);
    model.select(0, 2);
    walks(0x1000, 0x7000);
    model.flush_pcid(tlb_flush::cr3, 0, 1);
    EXPECT_FALSE(walks(0x1000, 0x7000));
    model.select(0, 1);
    EXPECT_TRUE(walks(0x1000, 0x5000));
    EXPECT_FALSE(walks(0x2000, 0x6000, page_4k, true));
    EXPECT_EQ(flushes(tlb_flush::cr3), 1u);
}

TEST_F(tlb, flush_asid)
{
    walks(0x1000, 0x5000);
    walks(0x2000, 0x6000, page_4k, true);
    model.select(9, 0);
    walks(0x1000, 0x7000);
    model.flush_asid(tlb_flush::cr3, 0, false);
    EXPECT_FALSE(walks(0x1000, 0x7000));
    model.select(0, 0);
    EXPECT_FALSE(walks(0x2000, 0x6000, page_4k, true));
    EXPECT_TRUE(walks(0x1000, 0x5000));
    model.flush_asid(tlb_flush::cr4, 0, true);
    EXPECT_TRUE(walks(0x2000, 0x6000, page_4k, true));
}

TEST_F(tlb, flush_all)
{
    walks(0x1000, 0x5000);
    walks(0x2000, 0x6000, page_4k, true);
    model.flush_all(tlb_flush::vmrun);
    EXPECT_TRUE(walks(0x1000, 0x5000));
    EXPECT_TRUE(walks(0x2000, 0x6000, page_4k, true));
}

TEST_F(tlb, flush_page)
{
    model.select(0, 1);
    walks(0x1000, 0x5000);
    walks(0x2000, 0x6000);
    walks(0x3000, 0x7000, page_4k, true);
    model.flush_page(tlb_flush::invlpg, 0, 1, 0x1800, true);
    EXPECT_TRUE(walks(0x1000, 0x5000));
    EXPECT_FALSE(walks(0x2000, 0x6000));
    model.flush_page(tlb_flush::invpcid, 0, 1, 0x3000, false);
    EXPECT_FALSE(walks(0x3000, 0x7000, page_4k, true));
    model.flush_page(tlb_flush::invlpg, 0, 2, 0x2000, true);
    EXPECT_FALSE(walks(0x2000, 0x6000)) << "another address space";
    model.flush_page(tlb_flush::invlpg, 0, 1, 0x3000, true);
    EXPECT_TRUE(walks(0x3000, 0x7000, page_4k, true));
}

TEST_F(tlb, flush_page_in_the_second_level_only)
{
    for (unsigned page = 0; page < 8; ++page) {
        walks_4k(page);
    }
    model.flush_page(tlb_flush::invlpg, 0, 0, 0, true);
    EXPECT_TRUE(walks_4k(0));
}

TEST_F(tlb, flush_of_a_1g_page_takes_its_pieces)
{
    walks(region_1g, 2 * region_1g, region_1g);
    for (unsigned page = 0; page < 8; ++page) { // out of the first level
        walks_4k(page);
    }
    walks(region_1g, 2 * region_1g, region_1g);
    walks(region_1g + page_2m, 2 * region_1g + page_2m, region_1g);
    model.flush_page(tlb_flush::invlpg, 0, 0, region_1g, true);
    EXPECT_TRUE(walks(region_1g + page_2m, 2 * region_1g + page_2m, region_1g));
}

TEST_F(tlb, flush_page_of_an_asid)
{
    model.select(5, 1);
    walks(0x1000, 0x5000);
    model.select(5, 2);
    walks(0x1000, 0x6000);
    model.select(6, 2);
    walks(0x1000, 0x7000);
    model.flush_asid_page(tlb_flush::invlpga, 5, 0x1000);
    EXPECT_FALSE(walks(0x1000, 0x7000));
    model.select(5, 1);
    EXPECT_TRUE(walks(0x1000, 0x5000));
    model.select(5, 2);
    EXPECT_TRUE(walks(0x1000, 0x6000));
}

TEST_F(tlb, rmp_changes_drop_by_system_address)
{
    walks(0x1000, 0x5000);
    walks(0x2000, 0x6000);
    walks(page_2m, 7 * page_2m, page_2m);
    model.rmp_changed({0x5000, page_4k});
    model.rmp_changed({7 * page_2m + 0x3000, page_4k});
    EXPECT_TRUE(walks(0x1000, 0x5000));
    EXPECT_FALSE(walks(0x2000, 0x6000));
    EXPECT_TRUE(walks(page_2m, 7 * page_2m, page_2m));
    EXPECT_EQ(flushes(tlb_flush::rmp), 2u);
}

TEST_F(tlb, more_rmp_changes_than_are_kept_drop_all)
{
    walks(0x1000, 0x5000);
    for (unsigned i = 0; i < 1000; ++i) {
        model.rmp_changed({region_1g, page_4k});
    }
    EXPECT_TRUE(walks(0x1000, 0x5000));
}

TEST_F(tlb, a_missing_flush_is_seen)
{
    walks(0x1000, 0x5000);
    EXPECT_TRUE(walks(0x1000, 0x9000)) << "remapped";
    EXPECT_EQ(model.counters.stale, 1u);
    EXPECT_FALSE(walks(0x1000, 0x9000));
}

TEST_F(tlb, entries_say_when_they_become_others)
{
    walks(0x1000, 0x5000);
    const tlb_entry *e = model.find(0x1000, 0x5000);
    const std::uint32_t generation = e->generation;
    for (unsigned page = 8; page < 12; ++page) {
        walks_4k(page);
    }
    EXPECT_NE(e->generation, generation);
}

TEST_F(tlb, hostile_address_spaces_do_not_grow_memory)
{
    const std::size_t before = model.bytes();
    for (unsigned asid = 0; asid < 64; ++asid) {
        for (unsigned pcid = 0; pcid < 4096; ++pcid) {
            model.select(static_cast<std::uint16_t>(asid), static_cast<std::uint16_t>(pcid));
            model.flush_pcid(tlb_flush::invpcid, static_cast<std::uint16_t>(asid + 1000), 1);
        }
    }
    EXPECT_LT(model.bytes(), before + (1u << 20));
    EXPECT_TRUE(walks(0x1000, 0x5000));
    EXPECT_FALSE(walks(0x1000, 0x5000));
}

TEST(tlb_geometry, presets_and_sizes)
{
    tlb_geometry g;
    EXPECT_EQ(parse_tlb("zen4", g), "");
    EXPECT_EQ(g.l1_entries, 72u);
    EXPECT_EQ(parse_tlb("64/2048x16", g), "");
    EXPECT_EQ(g.l2_entries, 2048u);
    EXPECT_EQ(g.l2_ways, 16u);
    EXPECT_EQ(parse_tlb("8/0", g), "");
    for (const auto *bad :
         {"", "zen9", "64", "0/16x2", "64/2048", "64/100x3", "64/2048x0", "64/2048x16 ", "x"}) {
        EXPECT_NE(parse_tlb(bad, g), "") << bad;
    }
}

TEST(tlb_geometry, threads_share)
{
    for (const tlb_geometry &g : tlb_presets()) {
        const tlb_geometry half = g.share_of(2);
        EXPECT_EQ(half.l1_entries, g.l1_entries / 2);
        EXPECT_EQ(half.l2_entries, g.l2_entries / 2);
        EXPECT_EQ(half.l2_ways, g.l2_ways);
        EXPECT_EQ(g.share_of(1), g);
    }
    const tlb_geometry tiny =
        tlb_geometry{.name = "t", .l1_entries = 1, .l2_entries = 2, .l2_ways = 2}.share_of(4);
    EXPECT_EQ(tiny.l1_entries, 1u);
    EXPECT_EQ(tiny.l2_entries, 2u);
}

} // namespace
