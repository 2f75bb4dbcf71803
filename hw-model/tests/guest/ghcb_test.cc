// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/guest/ghcb.h"

#include <gtest/gtest.h>
#include <vector>

namespace rmpopt::hw
{
namespace
{

using pages = std::vector<guest_pages>;

/// Guest-physical addresses from `base` on are system addresses 0 to 16 KB.
class ghcb_test : public testing::Test
{
  protected:
    static constexpr std::uint64_t base = 0x7000000, ghcb = base + page_4k;
    static constexpr spa_t page = page_4k, list = page + 0x800;

    std::optional<ghcb_request> read(std::uint64_t msr) const
    {
        return read_ghcb(memory, msr, where);
    }
    void request(std::uint64_t code, std::uint64_t scratch) const
    {
        memory.store(page + 0x390, code);
        memory.store(page + 0x3a8, scratch);
    }
    /// A page state change of entries, from `first` on.
    pages listed(std::vector<std::uint64_t> entries, std::uint16_t first = 0) const
    {
        request(0x80000010, ghcb + 0x800);
        memory.store(list, first);
        memory.store(list + 2, static_cast<std::uint16_t>(entries.size() - 1));
        for (std::size_t i = 0; i < entries.size(); ++i) {
            memory.store(list + 8 + 8 * i, entries[i]);
        }
        return pages_to_share(memory, *read(ghcb), where);
    }
    static constexpr std::uint64_t entry(std::uint64_t gpa, unsigned operation, bool large = false)
    {
        return gpa | std::uint64_t{operation} << 52 | std::uint64_t{large} << 56;
    }

    std::vector<std::byte> bytes{4 * page_4k};
    memory_view memory{{{.base = 0, .bytes = bytes.size(), .host = bytes.data()}}};
    gpa_to_spa where = [](std::uint64_t gpa) {
        return gpa >= base ? std::optional<spa_t>(gpa - base) : std::nullopt;
    };
};

} // namespace

TEST_F(ghcb_test, the_page_has_code_and_operand)
{
    request(0x7b, 0x1234);
    ASSERT_TRUE(read(ghcb).has_value());
    EXPECT_EQ(read(ghcb)->code, 0x7bu);
    EXPECT_EQ(read(ghcb)->operand, 0x1234u);
    EXPECT_FALSE(read(0x1000).has_value()) << "not mapped";
    EXPECT_FALSE(read(base + bytes.size()).has_value()) << "not in memory";
}

TEST_F(ghcb_test, the_msr_alone_has_a_request_in_its_low_bits)
{
    EXPECT_EQ(read(0x4000000000000004)->code, ghcb_request::by_msr | 4);
    EXPECT_EQ(read(0x4000000000000004)->operand, 0x4000000000000004u);
}

TEST_F(ghcb_test, the_msr_shares_one_page)
{
    const auto shared = [&](std::uint64_t msr) {
        return pages_to_share(memory, *read(msr), where);
    };
    EXPECT_EQ(shared(entry(0x12345000, 2) | 0x14), (pages{{0x12345000, 1}}));
    EXPECT_EQ(shared(entry(0x12345000, 1) | 0x14), pages{}) << "to private";
    EXPECT_EQ(shared(entry(0x12345000, 2) | 0x12), pages{}) << "another request";
}

TEST_F(ghcb_test, a_list_shares_what_is_left_of_it)
{
    EXPECT_EQ(listed({entry(0x5000, 2), entry(0x6000, 1), entry(0x200000, 2, true)}),
              (pages{{0x5000, 1}, {0x200000, 512}}));
    EXPECT_EQ(listed({entry(0x5000, 2), entry(0x7000, 2)}, 1), (pages{{0x7000, 1}}));
    EXPECT_EQ(listed({entry(0x200000, 2, true) | 510}), (pages{{0x3fe000, 2}})) << "half done";
    EXPECT_EQ(listed({entry(0x200000, 2, true) | 512}), pages{}) << "done";
    EXPECT_EQ(listed({entry(0x5000, 2)}, 7), pages{});
}

TEST_F(ghcb_test, a_list_ends_with_its_page)
{
    listed({entry(0x5000, 2)});
    memory.store(list + 2, std::uint16_t{0xffff});
    for (std::uint64_t at = list + 8; at < bytes.size(); at += 8) {
        memory.store(at, entry(0x5000, 2));
    }
    EXPECT_EQ(pages_to_share(memory, *read(ghcb), where).size(), 255u);
    request(0x80000010, 0x1000);
    EXPECT_EQ(pages_to_share(memory, *read(ghcb), where), pages{}) << "a list that is nowhere";
    request(0x80000011, ghcb + 0x800);
    EXPECT_EQ(pages_to_share(memory, *read(ghcb), where), pages{}) << "another request";
}

TEST(ghcb, requests_have_names)
{
    EXPECT_EQ(ghcb_request_name(0x80000010), "page state change");
    EXPECT_EQ(ghcb_request_name(0x7b), "IOIO");
    EXPECT_EQ(ghcb_request_name(ghcb_request::by_msr | 0x14), "MSR: page state change");
    EXPECT_EQ(ghcb_request_name(ghcb_request::by_msr | 0xfff), "MSR: 0xfff");
    EXPECT_EQ(ghcb_request_name(0x80001234), "0x80001234");
}

} // namespace rmpopt::hw
