// SPDX-License-Identifier: GPL-2.0-or-later
#include "split_store.h"

#include <gtest/gtest.h>
#include <vector>

namespace rmpopt
{

namespace
{

using code = std::vector<std::uint8_t>;

std::optional<split_store> in_64(const code &c)
{
    return find_split_store(c, true);
}
std::optional<split_store> in_32(const code &c)
{
    return find_split_store(c, false);
}

TEST(split_store, store_of_32_bytes_has_two_parts)
{
    const auto s = in_64({0xc5, 0xfc, 0x11, 0x44, 0x8f, 0x10}); // vmovups %ymm0, 16(%rdi,%rcx,4)
    ASSERT_TRUE(s.has_value());
    EXPECT_EQ(s->count, 2);
    EXPECT_EQ(s->parts[0].offset, 0);
    EXPECT_EQ(s->parts[1].offset, 16);
    EXPECT_EQ(s->low, 0);
    EXPECT_EQ(s->high, 32);
    EXPECT_EQ(s->address.base, 7);
    EXPECT_EQ(s->address.index, 1);
    EXPECT_EQ(s->address.scale, 4);
    EXPECT_EQ(s->address.displacement, 16);
    EXPECT_FALSE(s->address.rip_relative);
}

TEST(split_store, address_relative_to_rip_counts_the_instruction)
{
    const auto s = in_64({0xc5, 0xfd, 0x7f, 0x05, 0x00, 0x01, 0x00, 0x00}); // vmovdqa 256(%rip)
    ASSERT_TRUE(s.has_value());
    EXPECT_TRUE(s->address.rip_relative);
    EXPECT_EQ(s->address.displacement, 256 + 8);
    EXPECT_EQ(s->address.base, address_form::no_register);
}

TEST(split_store, segments_and_address_size_are_seen)
{
    const auto fs = in_64({0x64, 0xc5, 0xfc, 0x11, 0x07});
    ASSERT_TRUE(fs.has_value());
    EXPECT_EQ(fs->address.segment, address_form::segment::fs);
    const auto gs = in_64({0x65, 0x67, 0xc5, 0xfc, 0x11, 0x07});
    ASSERT_TRUE(gs.has_value());
    EXPECT_EQ(gs->address.segment, address_form::segment::gs);
    EXPECT_EQ(gs->address.address_bytes, 4);
}

TEST(split_store, other_vector_instructions_are_not_found)
{
    EXPECT_FALSE(in_64({0xc5, 0xf8, 0x11, 0x07}).has_value());             // vmovups %xmm0, (%rdi)
    EXPECT_FALSE(in_64({0xc5, 0xfc, 0x10, 0x07}).has_value());             // vmovups (%rdi), %ymm0
    EXPECT_FALSE(in_64({0xc5, 0xfc, 0x28, 0xc1}).has_value());             // vmovaps %ymm1, %ymm0
    EXPECT_FALSE(in_64({0xc4, 0xe2, 0x75, 0x2e, 0x07}).has_value());       // vmaskmovps
    EXPECT_FALSE(in_64({0xc4, 0xe3, 0x7d, 0x19, 0x07, 0x01}).has_value()); // vextractf128
    EXPECT_FALSE(in_64({0x0f, 0x11, 0x07}).has_value());                   // movups
}

TEST(split_store, descriptor_tables_are_limit_and_base)
{
    const auto s = in_64({0x0f, 0x01, 0x07}); // sgdt (%rdi)
    ASSERT_TRUE(s.has_value());
    EXPECT_EQ(s->count, 2);
    EXPECT_EQ(s->parts[0].bytes, 2);
    EXPECT_EQ(s->parts[1].offset, 2);
    EXPECT_EQ(s->parts[1].bytes, 8);
    const auto in_compatibility_mode = in_32({0x0f, 0x01, 0x0f}); // sidt (%edi)
    ASSERT_TRUE(in_compatibility_mode.has_value());
    EXPECT_EQ(in_compatibility_mode->parts[1].bytes, 4);
    EXPECT_FALSE(in_64({0x0f, 0x01, 0x17}).has_value());       // lgdt
    EXPECT_FALSE(in_64({0x0f, 0x01, 0x27}).has_value());       // smsw
    EXPECT_FALSE(in_64({0x0f, 0x01, 0xd8}).has_value());       // vmrun
    EXPECT_FALSE(in_64({0xf2, 0x0f, 0x01, 0xfe}).has_value()); // rmpupdate
}

TEST(split_store, enter_pushes_as_often_as_its_level_says)
{
    const auto s = in_64({0xc8, 0x10, 0x00, 0x02}); // enter $16, $2
    ASSERT_TRUE(s.has_value());
    EXPECT_EQ(s->address.base, 4);
    EXPECT_EQ(s->count, 3);
    EXPECT_EQ(s->parts[0].offset, -8);
    EXPECT_EQ(s->parts[2].offset, -24);
    EXPECT_EQ(s->low, -24);
    EXPECT_EQ(s->high, 0);
    EXPECT_EQ(in_64({0xc8, 0x00, 0x00, 0x00})->count, 1);
    EXPECT_EQ(in_64({0xc8, 0x00, 0x00, 0x1f})->count, 32);
    EXPECT_EQ(in_64({0xc8, 0x00, 0x00, 0x20})->count, 1); // level modulo 32
}

TEST(split_store, pusha_exists_in_32_bit_code_only)
{
    const auto s = in_32({0x60});
    ASSERT_TRUE(s.has_value());
    EXPECT_EQ(s->count, 8);
    EXPECT_EQ(s->parts[0].offset, -4);
    EXPECT_EQ(s->low, -32);
    EXPECT_EQ(s->address.address_bytes, 4);
    EXPECT_EQ(in_32({0x66, 0x60})->low, -16);
    EXPECT_FALSE(in_64({0x60}).has_value());
}

TEST(split_store, pushf_spoils_the_flags)
{
    const auto s = in_64({0x9c});
    ASSERT_TRUE(s.has_value());
    EXPECT_TRUE(s->spoils_flags);
    EXPECT_EQ(s->count, 1);
    EXPECT_EQ(s->low, -8);
    EXPECT_EQ(in_64({0x66, 0x9c})->low, -2);
    EXPECT_EQ(in_32({0x9c})->low, -4);
    EXPECT_FALSE(in_64({0x9d}).has_value()); // popf
    EXPECT_FALSE(in_64({0xc8, 0x00, 0x00, 0x00})->spoils_flags);
}

TEST(split_store, setcc_to_memory_spoils_the_flags)
{
    const auto s = in_64({0x41, 0x0f, 0x9c, 0x45, 0x33}); // setl 51(%r13)
    ASSERT_TRUE(s.has_value());
    EXPECT_TRUE(s->spoils_flags);
    EXPECT_EQ(s->address.base, 13);
    EXPECT_EQ(s->high, 1);
    EXPECT_FALSE(in_64({0x0f, 0x94, 0xc0}).has_value()); // setz %al
}

TEST(split_store, ordinary_and_broken_instructions_are_not_found)
{
    EXPECT_FALSE(in_64({0x48, 0x89, 0x07}).has_value()); // mov %rax, (%rdi)
    EXPECT_FALSE(in_64({0x50}).has_value());             // push %rax
    EXPECT_FALSE(in_64({0xf3, 0xaa}).has_value());       // rep stosb
    EXPECT_FALSE(in_64({0xc5}).has_value());
    EXPECT_FALSE(in_64({}).has_value());
}

} // namespace

} // namespace rmpopt
