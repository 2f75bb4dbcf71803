// SPDX-License-Identifier: GPL-2.0-or-later
#include "x86/tlb_insn.h"

#include <gtest/gtest.h>
#include <vector>

namespace
{

using rmpopt::find_tlb_insn;
using rmpopt::tlb_insn;
using bytes = std::vector<std::uint8_t>;

TEST(tlb_insn, moves_to_control_registers)
{
    const auto cr3 = find_tlb_insn(bytes{0x0f, 0x22, 0xd8}, true); // mov %rax, %cr3
    ASSERT_TRUE(cr3.has_value());
    EXPECT_EQ(cr3->what, tlb_insn::kind::mov_cr3);
    EXPECT_EQ(cr3->reg, 0);
    const auto cr4 = find_tlb_insn(bytes{0x41, 0x0f, 0x22, 0xe7}, true); // mov %r15, %cr4
    ASSERT_TRUE(cr4.has_value());
    EXPECT_EQ(cr4->what, tlb_insn::kind::mov_cr4);
    EXPECT_EQ(cr4->reg, 15);
    const auto cr0 = find_tlb_insn(bytes{0x0f, 0x22, 0xc3}, false); // mov %ebx, %cr0
    ASSERT_TRUE(cr0.has_value());
    EXPECT_EQ(cr0->what, tlb_insn::kind::mov_cr0);
    EXPECT_EQ(cr0->reg, 3);
}

TEST(tlb_insn, moves_from_them_and_to_others_drop_nothing)
{
    EXPECT_FALSE(find_tlb_insn(bytes{0x0f, 0x20, 0xd8}, true));       // mov %cr3, %rax
    EXPECT_FALSE(find_tlb_insn(bytes{0x0f, 0x22, 0xd0}, true));       // mov %rax, %cr2
    EXPECT_FALSE(find_tlb_insn(bytes{0x44, 0x0f, 0x22, 0xc0}, true)); // mov %rax, %cr8
    EXPECT_FALSE(find_tlb_insn(bytes{0x0f, 0x23, 0xf8}, true));       // mov %rax, %dr7
}

TEST(tlb_insn, invlpg)
{
    const auto plain = find_tlb_insn(bytes{0x0f, 0x01, 0x3f}, true); // invlpg (%rdi)
    ASSERT_TRUE(plain.has_value());
    EXPECT_EQ(plain->what, tlb_insn::kind::invlpg);
    EXPECT_EQ(plain->address.base, 7);
    EXPECT_FALSE(find_tlb_insn(bytes{0x0f, 0x01, 0xf8}, true)); // swapgs
    EXPECT_FALSE(find_tlb_insn(bytes{0x0f, 0x01, 0x17}, true)); // lgdt (%rdi)
}

TEST(tlb_insn, invpcid)
{
    const auto i = find_tlb_insn(bytes{0x66, 0x0f, 0x38, 0x82, 0x44, 0x24, 0x10}, true);
    ASSERT_TRUE(i.has_value()); // invpcid 16(%rsp), %rax
    EXPECT_EQ(i->what, tlb_insn::kind::invpcid);
    EXPECT_EQ(i->reg, 0);
    EXPECT_EQ(i->address.base, 4);
    EXPECT_EQ(i->address.displacement, 16);
    EXPECT_FALSE(find_tlb_insn(bytes{0x0f, 0x38, 0xf0, 0x07}, true)); // movbe
}

TEST(tlb_insn, invlpga_and_neighbours)
{
    const auto i = find_tlb_insn(bytes{0x0f, 0x01, 0xdf}, true);
    ASSERT_TRUE(i.has_value());
    EXPECT_EQ(i->what, tlb_insn::kind::invlpga);
    EXPECT_FALSE(find_tlb_insn(bytes{0x0f, 0x01, 0xde}, true)); // skinit
}

TEST(tlb_insn, bytes_of_data_are_not_the_opcode)
{
    EXPECT_FALSE(find_tlb_insn(bytes{0x48, 0xb8, 0x0f, 0x22, 0xd8, 0, 0, 0, 0, 0}, true));
    EXPECT_FALSE(find_tlb_insn(bytes{0x0f}, true));
    EXPECT_FALSE(find_tlb_insn(bytes{}, true));
}

} // namespace
