// SPDX-License-Identifier: GPL-2.0-or-later
// Where the BIOS puts the RMP, how large it is, and what it says about it.
#include "platform_fixture.h"

namespace rmpopt
{

namespace
{

using hw::rmp_layout;
using hw::spa_range;

struct outcome {
    rmp_setup setup;
    std::vector<spa_range> zeroed;
};

outcome prepare(const hw::memory_view &memory, std::optional<hw::spa_t> boot_params = {},
                rmp_layout layout = rmp_layout::segmented, unsigned shift = 36)
{
    outcome o;
    rmp_request request;
    request.layout = layout;
    request.segment_shift = shift;
    request.boot_params = boot_params;
    request.zero = [&](spa_range r) { o.zeroed.push_back(r); };
    o.setup = prepare_rmp(memory, request);
    return o;
}

/// All RAM and the RMP itself have entries, all inside what is reserved.
void expect_usable(const hw::memory_view &memory, const rmp_setup &s)
{
    ASSERT_EQ(s.error, "");
    hw::rmp_table table(memory);
    ASSERT_TRUE(table.configure(s.config));
    for (const hw::ram_range &r : memory.ranges()) {
        EXPECT_TRUE(table.covers(r.base));
        EXPECT_TRUE(table.covers(r.base + r.bytes - 1));
        EXPECT_TRUE(table.covers(hw::align_down(r.base + r.bytes / 2, hw::page_4k)));
    }
    for (const spa_range &r : table.table_memory()) {
        EXPECT_GE(r.base, s.reserved.base);
        EXPECT_LE(r.end(), s.reserved.end());
        EXPECT_NE(memory.at(r.base, r.bytes), nullptr);
    }
    EXPECT_TRUE(hw::is_aligned(s.reserved.base, hw::page_2m));
    EXPECT_TRUE(hw::is_aligned(s.reserved.bytes, hw::page_2m));
    EXPECT_EQ(s.config.base, s.reserved.base);
}

class any_size : public testing::TestWithParam<std::uint64_t>
{
  protected:
    void SetUp() override
    {
        try {
            ram.emplace(GetParam());
        } catch (const std::bad_alloc &) {
            GTEST_SKIP() << "the host gives a process no such address range";
        }
        bp.emplace(ram->view());
    }

    std::optional<pc_memory> ram;
    std::optional<boot_params> bp;
};

TEST_P(any_size, segmented_rmp_is_usable)
{
    bp->set_usual_map();
    const outcome o = prepare(ram->view(), bp->address());
    expect_usable(ram->view(), o.setup);
    EXPECT_EQ(o.setup.config.end, 0u);
    EXPECT_EQ(o.setup.config.segment_shift, 36u);
}

TEST_P(any_size, contiguous_rmp_is_usable)
{
    bp->set_usual_map();
    const outcome o = prepare(ram->view(), bp->address(), rmp_layout::contiguous);
    expect_usable(ram->view(), o.setup);
    EXPECT_EQ(o.setup.config.end, o.setup.reserved.end() - 1);
    EXPECT_EQ(o.setup.config.segment_shift, 0u);
}

TEST_P(any_size, contiguous_rmp_is_as_large_as_linux_asks)
{
    bp->set_usual_map();
    const rmp_setup s = prepare(ram->view(), bp->address(), rmp_layout::contiguous).setup;
    const std::uint64_t highest = std::max(ram->view().end(), s.config.end + 1);
    EXPECT_GE(s.config.end + 1 - s.config.base, highest / 4096 * 16 + 0x4000);
}

TEST_P(any_size, rmp_costs_half_a_percent_of_memory)
{
    bp->set_usual_map();
    for (const rmp_layout l : {rmp_layout::segmented, rmp_layout::contiguous}) {
        bp->set_usual_map();
        const rmp_setup s = prepare(ram->view(), bp->address(), l).setup;
        EXPECT_LE(s.reserved.bytes, (ram->view().end() + gib) / 256 + 4 * mib);
    }
}

TEST_P(any_size, map_loses_exactly_what_is_reserved)
{
    bp->set_usual_map();
    const std::uint64_t usable = bp->bytes_of_type(e820_usable);
    const std::uint64_t taken = bp->bytes_of_type(e820_taken);
    const rmp_setup s = prepare(ram->view(), bp->address()).setup;
    EXPECT_EQ(bp->bytes_of_type(e820_usable), usable - s.reserved.bytes);
    EXPECT_EQ(bp->bytes_of_type(e820_taken), taken + s.reserved.bytes);
}

TEST_P(any_size, guest_of_unknown_kind_gets_a_usable_rmp)
{
    for (const rmp_layout l : {rmp_layout::segmented, rmp_layout::contiguous}) {
        const rmp_setup s = prepare(ram->view(), {}, l).setup;
        expect_usable(ram->view(), s);
        EXPECT_GE(s.reserved.base, 16 * mib);
    }
}

TEST_P(any_size, everything_reserved_is_zeroed)
{
    bp->set_usual_map();
    const outcome o = prepare(ram->view(), bp->address());
    EXPECT_EQ(o.zeroed, std::vector<spa_range>{o.setup.reserved});
}

INSTANTIATE_TEST_SUITE_P(sizes, any_size,
                         testing::Values(gib, 2 * gib, 2 * gib + 128 * mib, 3 * gib, 6 * gib,
                                         16 * gib, 64 * gib, 100 * gib, 1 * tib, 2 * tib),
                         [](const auto &info) { return std::to_string(info.param / mib) + "M"; });

class rmp_setup_test : public testing::Test
{
  protected:
    pc_memory ram{gib};
    boot_params bp{ram.view()};

    rmp_setup set_up() { return prepare(ram.view(), bp.address()).setup; }
    /// How large the RMP of this machine is.
    spa_range rmp_somewhere() const { return prepare(ram.view()).setup.reserved; }
};

TEST_F(rmp_setup_test, segment_table_has_an_entry_for_each_segment_with_ram)
{
    const pc_memory large(100 * gib);
    const rmp_setup s = prepare(large.view()).setup;
    const hw::spa_t rst = s.config.base + hw::rmp_bookkeeping_bytes;
    const auto first = *large.view().load<std::uint64_t>(rst);
    const auto second = *large.view().load<std::uint64_t>(rst + 8);
    EXPECT_EQ(first & 0xfffff, 64u);
    EXPECT_EQ(second & 0xfffff, 102u - 64u);
    EXPECT_EQ(*large.view().load<std::uint64_t>(rst + 16), 0u);
    EXPECT_TRUE(hw::is_aligned(first & ~0xfffffull, hw::rmp_alignment));
    EXPECT_GE(second & ~0xfffffull, (first & ~0xfffffull) + 64 * 4 * mib);
}

TEST_F(rmp_setup_test, segment_in_a_hole_has_no_entry)
{
    const pc_memory sparse(4 * gib);
    const rmp_setup s = prepare(sparse.view(), {}, rmp_layout::segmented, 30).setup;
    const hw::spa_t rst = s.config.base + hw::rmp_bookkeeping_bytes;
    const bool expected[] = {true, true, false, false, true, true, false};
    for (unsigned i = 0; i < std::size(expected); ++i) {
        EXPECT_EQ(*sparse.view().load<std::uint64_t>(rst + 8 * i) != 0, expected[i]) << i;
    }
}

TEST_F(rmp_setup_test, highest_free_memory_is_taken)
{
    bp.set_map({{mib, 512 * mib}, {600 * mib, 100 * mib}});
    EXPECT_EQ(set_up().reserved.end(), 700 * mib);
}

TEST_F(rmp_setup_test, order_of_the_map_does_not_matter)
{
    bp.set_map({{600 * mib, 100 * mib}, {mib, 512 * mib}});
    EXPECT_EQ(set_up().reserved.end(), 700 * mib);
}

TEST_F(rmp_setup_test, memory_that_is_no_ram_is_not_taken)
{
    bp.set_map({{mib, 512 * mib}, {600 * mib, 100 * mib, 2}, {700 * mib, 100 * mib, 3}});
    EXPECT_EQ(set_up().reserved.end(), 513 * mib - mib);
}

TEST_F(rmp_setup_test, map_that_promises_more_than_there_is_is_not_believed)
{
    bp.set_map({{mib, 512 * mib}, {8 * gib, 8 * gib}});
    EXPECT_EQ(set_up().reserved.end(), 512 * mib);
}

TEST_F(rmp_setup_test, cut_at_the_end_leaves_two_entries)
{
    bp.set_map({{64 * mib, 448 * mib}});
    const spa_range r = set_up().reserved;
    const std::vector<map_entry> expected{{64 * mib, r.base - 64 * mib}, {r.base, r.bytes, 2}};
    EXPECT_EQ(bp.map(), expected);
}

TEST_F(rmp_setup_test, cut_in_the_middle_leaves_three_entries)
{
    bp.set_map({{64 * mib, 448 * mib}});
    bp.set_initrd(500 * mib, 12 * mib);
    const spa_range r = set_up().reserved;
    const std::vector<map_entry> expected{
        {64 * mib, r.base - 64 * mib}, {r.base, r.bytes, 2}, {r.end(), 512 * mib - r.end()}};
    EXPECT_EQ(bp.map(), expected);
}

TEST_F(rmp_setup_test, cut_of_a_whole_entry_leaves_one)
{
    const spa_range r = rmp_somewhere();
    bp.set_map({{256 * mib, r.bytes}});
    EXPECT_EQ(set_up().reserved, (spa_range{256 * mib, r.bytes}));
    EXPECT_EQ(bp.map(), (std::vector<map_entry>{{256 * mib, r.bytes, 2}}));
}

TEST_F(rmp_setup_test, cut_at_the_start_leaves_two_entries)
{
    const spa_range r = rmp_somewhere();
    bp.set_map({{256 * mib, r.bytes + mib}});
    EXPECT_EQ(set_up().reserved.base, 256 * mib);
    const std::vector<map_entry> expected{{256 * mib, r.bytes, 2}, {256 * mib + r.bytes, mib}};
    EXPECT_EQ(bp.map(), expected);
}

TEST_F(rmp_setup_test, other_entries_stay_in_order)
{
    const map_entry low{0, 0x9fc00}, bios{0xf0000, 0x10000, 2}, top{900 * mib, mib, 4};
    bp.set_map({low, bios, {64 * mib, 448 * mib}, top});
    set_up();
    const auto after = bp.map();
    ASSERT_EQ(after.size(), 5u);
    EXPECT_EQ(after[0], low);
    EXPECT_EQ(after[1], bios);
    EXPECT_EQ(after[4], top);
}

TEST_F(rmp_setup_test, initrd_at_the_top_is_avoided)
{
    bp.set_usual_map();
    bp.set_initrd(900 * mib, 123 * mib);
    const spa_range r = set_up().reserved;
    EXPECT_LE(r.end(), 900 * mib);
    EXPECT_GT(r.end(), 890 * mib);
}

TEST_F(rmp_setup_test, initrd_above_4_gb_is_avoided)
{
    const pc_memory large(8 * gib);
    boot_params b(large.view());
    b.set_usual_map();
    b.set_initrd(9 * gib, gib);
    const spa_range r = prepare(large.view(), b.address()).setup.reserved;
    EXPECT_LE(r.end(), 9 * gib);
    EXPECT_GE(r.base, 8 * gib);
}

TEST_F(rmp_setup_test, kernel_and_its_room_to_unpack_are_avoided)
{
    bp.set_map({{mib, 127 * mib}});
    bp.set_kernel(64 * mib, 60 * mib);
    EXPECT_LE(set_up().reserved.end(), 64 * mib);
}

TEST_F(rmp_setup_test, kernel_s_preferred_address_is_avoided)
{
    bp.set_map({{mib, 127 * mib}});
    bp.put<std::uint64_t>(0x258, 100 * mib);
    EXPECT_LE(set_up().reserved.end(), 100 * mib);
}

TEST_F(rmp_setup_test, command_line_and_boot_params_are_avoided)
{
    boot_params high(ram.view(), 510 * mib);
    high.set_map({{64 * mib, 448 * mib}});
    high.put(0x228, static_cast<std::uint32_t>(508 * mib));
    EXPECT_LE(prepare(ram.view(), high.address()).setup.reserved.end(), 508 * mib);
}

TEST_F(rmp_setup_test, first_megabyte_is_avoided)
{
    const spa_range r = rmp_somewhere();
    bp.set_map({{0, r.bytes + 2 * mib}});
    EXPECT_GE(set_up().reserved.base, mib);
}

TEST_F(rmp_setup_test, too_little_free_memory_is_refused)
{
    const spa_range r = rmp_somewhere();
    bp.set_map({{256 * mib, r.bytes - hw::page_4k}});
    const rmp_setup s = set_up();
    EXPECT_EQ(s.error, "no room for an RMP of 6 MiB in the guest's free memory; give the guest "
                       "more memory");
}

TEST_F(rmp_setup_test, free_memory_that_is_scattered_is_refused)
{
    bp.set_map({{100 * mib, 4 * mib}, {200 * mib, 4 * mib}, {300 * mib, 4 * mib}});
    EXPECT_NE(set_up().error, "");
}

TEST_F(rmp_setup_test, free_memory_without_an_aligned_place_is_refused)
{
    const spa_range r = rmp_somewhere();
    bp.set_map({{256 * mib + hw::page_4k, r.bytes + hw::page_2m - 2 * hw::page_4k}});
    EXPECT_NE(set_up().error, "");
}

TEST_F(rmp_setup_test, free_memory_that_is_all_loaded_is_refused)
{
    bp.set_map({{mib, 127 * mib}});
    bp.set_initrd(mib, 127 * mib);
    EXPECT_NE(set_up().error, "");
}

TEST_F(rmp_setup_test, empty_map_is_refused)
{
    bp.set_map({});
    EXPECT_NE(set_up().error, "");
}

TEST_F(rmp_setup_test, full_map_is_refused)
{
    std::vector<map_entry> map(127, {mib, hw::page_4k, 2});
    map.push_back({64 * mib, 448 * mib});
    bp.set_map(map);
    EXPECT_EQ(set_up().error, "the guest's memory map has no room for another entry");
}

TEST_F(rmp_setup_test, refusal_leaves_the_map_alone)
{
    std::vector<map_entry> map(127, {mib, hw::page_4k, 2});
    map.push_back({64 * mib, 448 * mib});
    bp.set_map(map);
    const outcome o = prepare(ram.view(), bp.address());
    EXPECT_EQ(bp.map(), map);
    EXPECT_TRUE(o.zeroed.empty());
}

TEST_F(rmp_setup_test, map_with_one_free_entry_is_enough)
{
    std::vector<map_entry> map(126, {mib, hw::page_4k, 2});
    map.push_back({64 * mib, 448 * mib});
    bp.set_map(map);
    EXPECT_EQ(set_up().error, "");
    EXPECT_EQ(bp.map().size(), 128u);
}

TEST_F(rmp_setup_test, full_map_is_enough_when_a_whole_entry_is_taken)
{
    const spa_range r = rmp_somewhere();
    std::vector<map_entry> map(127, {mib, hw::page_4k, 2});
    map.push_back({64 * mib, r.bytes});
    bp.set_map(map);
    EXPECT_EQ(set_up().error, "");
}

TEST_F(rmp_setup_test, count_beyond_the_map_s_end_is_cut)
{
    bp.set_map({{64 * mib, 448 * mib}});
    bp.put<std::uint8_t>(0x1e8, 255);
    EXPECT_NE(set_up().error, "") << "128 entries, most of them empty: no room for another";
}

TEST_F(rmp_setup_test, entry_that_wraps_around_is_not_taken)
{
    bp.set_map({{mib, 512 * mib}, {~0ull - mib, 64 * mib}});
    EXPECT_EQ(set_up().reserved.end(), 512 * mib);
}

TEST_F(rmp_setup_test, guest_of_unknown_kind_with_too_little_memory_is_refused)
{
    const pc_memory tiny(16 * mib);
    EXPECT_NE(prepare(tiny.view()).setup.error, "");
}

TEST_F(rmp_setup_test, guest_of_unknown_kind_keeps_what_firmware_left_below_its_memory_s_end)
{
    const rmp_setup s = prepare(ram.view()).setup;
    EXPECT_LE(s.reserved.end(), gib - 4 * mib);
}

TEST(boot_params, are_known_by_magic_and_version)
{
    const pc_memory ram(16 * mib);
    const boot_params bp(ram.view());
    EXPECT_TRUE(is_boot_params(ram.view(), bp.address()));
}

TEST(boot_params, without_magic_are_none)
{
    const pc_memory ram(16 * mib);
    boot_params bp(ram.view());
    bp.put<std::uint32_t>(0x202, 0);
    EXPECT_FALSE(is_boot_params(ram.view(), bp.address()));
}

TEST(boot_params, of_an_old_protocol_are_none)
{
    const pc_memory ram(16 * mib);
    boot_params bp(ram.view());
    bp.put<std::uint16_t>(0x206, 0x209);
    EXPECT_FALSE(is_boot_params(ram.view(), bp.address()));
}

TEST(boot_params, outside_ram_are_none)
{
    const pc_memory ram(16 * mib);
    EXPECT_FALSE(is_boot_params(ram.view(), gib));
    EXPECT_FALSE(is_boot_params(ram.view(), ~0ull));
}

} // namespace

} // namespace rmpopt
