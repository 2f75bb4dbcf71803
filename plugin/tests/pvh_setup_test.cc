// SPDX-License-Identifier: GPL-2.0-or-later
// The RMP of a guest that was started by the PVH protocol.
#include "platform_fixture.h"

namespace rmpopt
{

namespace
{

class pvh_setup_test : public testing::Test
{
  protected:
    static constexpr hw::spa_t info = 0x5000, entries = 0x6000, modules = 0x7000;

    void SetUp() override
    {
        put<std::uint32_t>(info, 0x336ec578);
        put<std::uint32_t>(info + 4, 1);
        set_map({{0, 0x9fc00}, {mib, gib - mib}});
    }
    template <class T> void put(hw::spa_t at, T v) { ram.view().store(at, v); }
    void set_map(const std::vector<map_entry> &map)
    {
        put<std::uint64_t>(info + 40, entries);
        put(info + 48, static_cast<std::uint32_t>(map.size()));
        for (std::size_t i = 0; i < map.size(); ++i) {
            put(entries + 24 * i, map[i].base);
            put(entries + 24 * i + 8, map[i].bytes);
            put(entries + 24 * i + 16, map[i].type);
        }
    }
    map_entry entry(unsigned i) const
    {
        const hw::spa_t at = entries + 24ull * i;
        return {*ram.view().load<std::uint64_t>(at), *ram.view().load<std::uint64_t>(at + 8),
                *ram.view().load<std::uint32_t>(at + 16)};
    }
    void set_module(hw::spa_t base, std::uint64_t bytes)
    {
        put<std::uint32_t>(info + 12, 1);
        put<std::uint64_t>(info + 16, modules);
        put(modules, base);
        put(modules + 8, bytes);
    }
    rmp_setup set_up()
    {
        rmp_request request;
        request.pvh_start_info = info;
        request.zero = [](hw::spa_range) {};
        return prepare_rmp(ram.view(), request);
    }

    pc_memory ram{gib};
};

TEST_F(pvh_setup_test, rmp_is_cut_from_the_end_of_the_highest_entry)
{
    const rmp_setup s = set_up();
    ASSERT_EQ(s.error, "");
    EXPECT_EQ(s.reserved.end(), gib);
    EXPECT_EQ(entry(1), (map_entry{mib, s.reserved.base - mib}));
}

TEST_F(pvh_setup_test, other_entries_stay)
{
    set_map({{0, 0x9fc00}, {mib, 500 * mib}, {600 * mib, 100 * mib}, {800 * mib, mib, 2}});
    const rmp_setup s = set_up();
    EXPECT_EQ(s.reserved.end(), 700 * mib);
    EXPECT_EQ(entry(0), (map_entry{0, 0x9fc00}));
    EXPECT_EQ(entry(1), (map_entry{mib, 500 * mib}));
    EXPECT_EQ(entry(3), (map_entry{800 * mib, mib, 2}));
}

TEST_F(pvh_setup_test, memory_behind_an_unaligned_rmp_is_not_left_in_the_map)
{
    set_map({{mib, 300 * mib + hw::page_4k}});
    const rmp_setup s = set_up();
    ASSERT_EQ(s.error, "");
    EXPECT_TRUE(hw::is_aligned(s.reserved.base, hw::page_2m));
    EXPECT_EQ(entry(0).end(), s.reserved.base);
}

TEST_F(pvh_setup_test, module_at_the_end_of_an_entry_sends_the_rmp_to_another)
{
    set_map({{mib, 500 * mib}, {600 * mib, 100 * mib}});
    set_module(699 * mib, mib);
    EXPECT_EQ(set_up().reserved.end() / mib, 500u);
}

TEST_F(pvh_setup_test, memory_that_is_no_ram_is_not_taken)
{
    set_map({{mib, 500 * mib, 2}, {600 * mib, 100 * mib, 5}});
    EXPECT_NE(set_up().error, "");
}

TEST_F(pvh_setup_test, map_without_a_large_enough_entry_is_refused)
{
    set_map({{100 * mib, 4 * mib}, {200 * mib, 4 * mib}});
    EXPECT_NE(set_up().error, "");
    EXPECT_EQ(entry(0), (map_entry{100 * mib, 4 * mib}));
}

TEST_F(pvh_setup_test, map_that_promises_more_than_there_is_is_not_believed)
{
    set_map({{mib, 500 * mib}, {8 * gib, gib}});
    EXPECT_LE(set_up().reserved.end(), 501 * mib);
}

TEST_F(pvh_setup_test, entry_that_wraps_around_is_not_taken)
{
    set_map({{mib, 500 * mib}, {~0ull - 64 * mib, gib}});
    EXPECT_LE(set_up().reserved.end(), 501 * mib);
}

TEST_F(pvh_setup_test, map_outside_ram_is_refused)
{
    put<std::uint64_t>(info + 40, 1ull << 40);
    EXPECT_NE(set_up().error, "");
}

TEST_F(pvh_setup_test, empty_map_is_refused)
{
    set_map({});
    EXPECT_NE(set_up().error, "");
}

TEST_F(pvh_setup_test, start_info_is_known_by_magic_and_version)
{
    EXPECT_TRUE(is_pvh_start_info(ram.view(), info));
}

TEST_F(pvh_setup_test, start_info_without_a_memory_map_is_none)
{
    put<std::uint32_t>(info + 4, 0);
    EXPECT_FALSE(is_pvh_start_info(ram.view(), info));
}

TEST_F(pvh_setup_test, start_info_without_magic_or_outside_ram_is_none)
{
    EXPECT_FALSE(is_pvh_start_info(ram.view(), info + 8));
    EXPECT_FALSE(is_pvh_start_info(ram.view(), 4 * gib));
}

} // namespace

} // namespace rmpopt
