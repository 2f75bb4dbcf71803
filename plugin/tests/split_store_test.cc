// SPDX-License-Identifier: GPL-2.0-or-later
#include "x86/split_store.h"

#include <gtest/gtest.h>
#include <ostream>
#include <string>
#include <vector>

namespace rmpopt
{

namespace
{

using code = std::vector<std::uint8_t>;
using part_list = std::vector<std::pair<int, int>>; ///< offset and bytes
using segment = enum address_form::segment;

constexpr std::uint8_t rax = 0, rcx = 1, rbx = 3, rsp = 4, r9 = 9, r12 = 12,
                       none = address_form::no_register;

part_list parts_of(const split_store &s)
{
    part_list out;
    for (const split_store::part &p : std::span(s.parts).first(s.count)) {
        out.emplace_back(p.offset, p.bytes);
    }
    return out;
}

/// `count` parts of `bytes` each, from `offset` downwards.
part_list pushes(int count, int bytes)
{
    part_list out;
    for (int i = 1; i <= count; ++i) {
        out.emplace_back(-i * bytes, bytes);
    }
    return out;
}

struct split_case {
    const char *name;
    code insn;
    bool code_64;
    part_list parts;
};
void PrintTo(const split_case &c, std::ostream *os)
{
    *os << c.name;
}
const auto case_name = [](const auto &info) { return std::string(info.param.name); };

class split_store_of : public testing::TestWithParam<split_case>
{
};

TEST_P(split_store_of, has_its_parts)
{
    const split_case &c = GetParam();
    const auto s = find_split_store(c.insn, c.code_64);
    ASSERT_TRUE(s.has_value());
    EXPECT_EQ(parts_of(*s), c.parts);
}

TEST_P(split_store_of, has_bounds_that_hold_all_parts_without_a_gap)
{
    const split_case &c = GetParam();
    const auto s = find_split_store(c.insn, c.code_64);
    ASSERT_TRUE(s.has_value());
    int sum = 0;
    for (const auto &[offset, bytes] : parts_of(*s)) {
        EXPECT_GE(offset, s->low);
        EXPECT_LE(offset + bytes, s->high);
        sum += bytes;
    }
    EXPECT_EQ(s->high - s->low, sum);
    EXPECT_TRUE(s->low == 0 || s->high == 0);
}

const part_list halves{{0, 16}, {16, 16}};

INSTANTIATE_TEST_SUITE_P(
    vector, split_store_of,
    testing::Values(split_case{"vmovups", {0xc5, 0xfc, 0x11, 0x00}, true, halves},
                    split_case{"vmovaps", {0xc5, 0xfc, 0x29, 0x00}, true, halves},
                    split_case{"vmovupd", {0xc5, 0xfd, 0x11, 0x00}, true, halves},
                    split_case{"vmovapd", {0xc5, 0xfd, 0x29, 0x00}, true, halves},
                    split_case{"vmovdqa", {0xc5, 0xfd, 0x7f, 0x00}, true, halves},
                    split_case{"vmovdqu", {0xc5, 0xfe, 0x7f, 0x00}, true, halves},
                    split_case{"vmovntdq", {0xc5, 0xfd, 0xe7, 0x00}, true, halves},
                    split_case{"vmovntps", {0xc5, 0xfc, 0x2b, 0x00}, true, halves},
                    split_case{"vmovntpd", {0xc5, 0xfd, 0x2b, 0x00}, true, halves},
                    split_case{"vmovups_vex3", {0xc4, 0xe1, 0x7c, 0x11, 0x00}, true, halves},
                    split_case{"vmovups_32", {0xc5, 0xfc, 0x11, 0x00}, false, halves},
                    split_case{"vmovups_fs", {0x64, 0xc5, 0xfc, 0x11, 0x00}, true, halves}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    descriptor_table, split_store_of,
    testing::Values(
        split_case{"sgdt", {0x0f, 0x01, 0x00}, true, {{0, 2}, {2, 8}}},
        split_case{"sidt", {0x0f, 0x01, 0x08}, true, {{0, 2}, {2, 8}}},
        split_case{"sgdt_32", {0x0f, 0x01, 0x00}, false, {{0, 2}, {2, 4}}},
        split_case{"sidt_32", {0x0f, 0x01, 0x08}, false, {{0, 2}, {2, 4}}},
        split_case{"sgdt_operand_size", {0x66, 0x0f, 0x01, 0x00}, true, {{0, 2}, {2, 8}}},
        split_case{"sgdt_32_operand_size", {0x66, 0x0f, 0x01, 0x00}, false, {{0, 2}, {2, 4}}},
        split_case{"sgdt_rex", {0x48, 0x0f, 0x01, 0x00}, true, {{0, 2}, {2, 8}}},
        split_case{"sgdt_repne", {0xf2, 0x0f, 0x01, 0x00}, true, {{0, 2}, {2, 8}}},
        split_case{"sgdt_rep_rex", {0xf3, 0x48, 0x0f, 0x01, 0x00}, true, {{0, 2}, {2, 8}}},
        split_case{"sidt_prefixes",
                   {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0x0f, 0x01, 0x08},
                   true,
                   {{0, 2}, {2, 8}}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    stack, split_store_of,
    testing::Values(split_case{"enter_1", {0xc8, 0, 0, 1}, true, pushes(2, 8)},
                    split_case{"enter_31", {0xc8, 0x20, 0, 31}, true, pushes(32, 8)},
                    split_case{"enter_level_is_modulo_32", {0xc8, 0, 0, 255}, true, pushes(32, 8)},
                    split_case{"enter_33_is_1", {0xc8, 0, 0, 33}, true, pushes(2, 8)},
                    split_case{"enter_16", {0x66, 0xc8, 0, 0, 2}, true, pushes(3, 2)},
                    split_case{"enter_rep", {0xf3, 0xc8, 0, 0, 1}, true, pushes(2, 8)},
                    split_case{"enter_32", {0xc8, 0, 0, 31}, false, pushes(32, 4)},
                    split_case{"enter_32_16", {0x66, 0xc8, 0, 0, 1}, false, pushes(2, 2)},
                    split_case{"pushad", {0x60}, false, pushes(8, 4)},
                    split_case{"pusha", {0x66, 0x60}, false, pushes(8, 2)}),
    case_name);

struct other_case {
    const char *name;
    code insn;
    bool code_64 = true;
};
void PrintTo(const other_case &c, std::ostream *os)
{
    *os << c.name;
}

class other_insn : public testing::TestWithParam<other_case>
{
};

TEST_P(other_insn, is_no_split_store)
{
    EXPECT_FALSE(find_split_store(GetParam().insn, GetParam().code_64).has_value());
}

INSTANTIATE_TEST_SUITE_P(
    vector, other_insn,
    testing::Values(other_case{"vmovups_xmm", {0xc5, 0xf8, 0x11, 0x00}},
                    other_case{"vmovdqu_xmm", {0xc5, 0xfa, 0x7f, 0x00}},
                    other_case{"movups_sse", {0x0f, 0x11, 0x00}},
                    other_case{"vmovdqa_load", {0xc5, 0xfd, 0x6f, 0x00}},
                    other_case{"vmovups_load", {0xc5, 0xfc, 0x10, 0x00}},
                    other_case{"vmovups_registers", {0xc5, 0xfc, 0x11, 0xc1}},
                    other_case{"vaddps_load", {0xc5, 0xfc, 0x58, 0x00}},
                    other_case{"vextractf128", {0xc4, 0xe3, 0x7d, 0x19, 0x00, 0x01}},
                    other_case{"vcvtps2ph", {0xc4, 0xe3, 0x7d, 0x1d, 0x00, 0x00}},
                    other_case{"vmaskmovps", {0xc4, 0xe2, 0x75, 0x2e, 0x10}},
                    other_case{"vmaskmovpd", {0xc4, 0xe2, 0x75, 0x2f, 0x10}},
                    other_case{"vpmaskmovd", {0xc4, 0xe2, 0x75, 0x8e, 0x10}},
                    other_case{"vpmaskmovq", {0xc4, 0xe2, 0xf5, 0x8e, 0x10}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(system, other_insn,
                         testing::Values(other_case{"lgdt", {0x0f, 0x01, 0x10}},
                                         other_case{"lidt", {0x0f, 0x01, 0x18}},
                                         other_case{"smsw", {0x0f, 0x01, 0x20}},
                                         other_case{"lmsw", {0x0f, 0x01, 0x30}},
                                         other_case{"invlpg", {0x0f, 0x01, 0x38}},
                                         other_case{"swapgs", {0x0f, 0x01, 0xf8}},
                                         other_case{"vmrun", {0x0f, 0x01, 0xd8}},
                                         other_case{"sgdt_lock", {0xf0, 0x0f, 0x01, 0x00}}),
                         case_name);

INSTANTIATE_TEST_SUITE_P(
    stack, other_insn,
    testing::Values(other_case{"enter_0", {0xc8, 0x20, 0, 0}},
                    other_case{"enter_32_is_0", {0xc8, 0x20, 0, 32}},
                    other_case{"enter_0_in_32_bit_code", {0xc8, 0x20, 0, 0}, false},
                    other_case{"leave", {0xc9}}, other_case{"push", {0x50}},
                    other_case{"popa", {0x61}, false}, other_case{"pusha_64", {0x60}},
                    other_case{"pusha_64_operand_size", {0x66, 0x60}},
                    other_case{"call", {0xe8, 0, 0, 0, 0}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    bytes, other_insn,
    testing::Values(other_case{"nothing", {}}, other_case{"prefix_only", {0x66}},
                    other_case{"escape_only", {0x0f}}, other_case{"cut_sgdt", {0x0f, 0x01}},
                    other_case{"cut_enter", {0xc8, 0, 0}}, other_case{"cut_vex", {0xc5, 0xfc}},
                    other_case{"les_in_32_bit_code", {0xc4, 0x00}, false},
                    other_case{"lds_in_32_bit_code", {0xc5, 0x00}, false},
                    other_case{"inc_in_32_bit_code", {0x40}, false},
                    other_case{"mov", {0x48, 0x89, 0x03}}, other_case{"nop", {0x90}}),
    case_name);

address_form form_of(const code &insn, bool code_64 = true)
{
    const auto s = find_split_store(insn, code_64);
    EXPECT_TRUE(s.has_value());
    return s.value_or(split_store{}).address;
}

TEST(address_form_of_split_store, has_a_base)
{
    const address_form f = form_of({0x0f, 0x01, 0x03}); // sgdt [rbx]
    EXPECT_EQ(f.base, rbx);
    EXPECT_EQ(f.index, none);
    EXPECT_EQ(f.address_bytes, 8);
    EXPECT_EQ(f.segment, segment::none);
    EXPECT_FALSE(f.rip_relative);
    EXPECT_EQ(f.displacement, 0);
}

TEST(address_form_of_split_store, has_base_index_scale_and_displacement)
{
    const address_form f = form_of({0xc5, 0xfc, 0x11, 0x44, 0x8b, 0xf0}); // [rbx + 4 * rcx - 16]
    EXPECT_EQ(f.base, rbx);
    EXPECT_EQ(f.index, rcx);
    EXPECT_EQ(f.scale, 4);
    EXPECT_EQ(f.displacement, -16);
}

TEST(address_form_of_split_store, has_registers_of_rex_and_vex)
{
    const address_form f = form_of({0x43, 0x0f, 0x01, 0x04, 0xcc}); // sgdt [r12 + 8 * r9]
    EXPECT_EQ(f.base, r12);
    EXPECT_EQ(f.index, r9);
    EXPECT_EQ(f.scale, 8);
    EXPECT_EQ(form_of({0xc4, 0xc1, 0x7c, 0x11, 0x01}).base, r9); // vmovups [r9], ymm0
}

TEST(address_form_of_split_store, may_have_no_register)
{
    const address_form f = form_of({0x0f, 0x01, 0x04, 0x25, 0, 0, 0, 0x80}); // sgdt [disp32]
    EXPECT_EQ(f.base, none);
    EXPECT_EQ(f.index, none);
    EXPECT_FALSE(f.rip_relative);
    EXPECT_EQ(f.displacement, -0x80000000ll);
}

TEST(address_form_of_split_store, is_relative_to_the_next_instruction)
{
    const address_form f = form_of({0xc5, 0xfc, 0x11, 0x05, 0, 1, 0, 0}); // [rip + 0x100]
    EXPECT_TRUE(f.rip_relative);
    EXPECT_EQ(f.base, none);
    EXPECT_EQ(f.displacement, 0x100 + 8);
}

TEST(address_form_of_split_store, is_not_relative_in_32_bit_code)
{
    const address_form f = form_of({0x0f, 0x01, 0x05, 0, 1, 0, 0}, false);
    EXPECT_FALSE(f.rip_relative);
    EXPECT_EQ(f.base, none);
    EXPECT_EQ(f.address_bytes, 4);
    EXPECT_EQ(f.displacement, 0x100);
}

TEST(address_form_of_split_store, has_fs_or_gs)
{
    EXPECT_EQ(form_of({0x64, 0x0f, 0x01, 0x00}).segment, segment::fs);
    EXPECT_EQ(form_of({0x65, 0xc5, 0xfc, 0x11, 0x00}).segment, segment::gs);
    EXPECT_EQ(form_of({0x64, 0x0f, 0x01, 0x00}, false).segment, segment::fs);
    EXPECT_EQ(form_of({0x3e, 0x0f, 0x01, 0x00}).segment, segment::none);
    EXPECT_EQ(form_of({0x36, 0x0f, 0x01, 0x00}).segment, segment::none);
}

TEST(address_form_of_split_store, has_4_bytes_with_an_address_size_prefix)
{
    const address_form f = form_of({0x67, 0x0f, 0x01, 0x04, 0x48}); // sgdt [eax + 2 * ecx]
    EXPECT_EQ(f.address_bytes, 4);
    EXPECT_EQ(f.base, rax);
    EXPECT_EQ(f.index, rcx);
    EXPECT_EQ(f.scale, 2);
    const address_form relative = form_of({0x67, 0x0f, 0x01, 0x05, 0, 1, 0, 0});
    EXPECT_TRUE(relative.rip_relative);
    EXPECT_EQ(relative.address_bytes, 4);
    EXPECT_EQ(relative.displacement, 0x108);
}

TEST(address_form_of_split_store, is_the_stack_pointer_for_pushes)
{
    for (const bool code_64 : {true, false}) {
        const address_form f = form_of({0xc8, 0x20, 0, 1}, code_64);
        EXPECT_EQ(f.base, rsp);
        EXPECT_EQ(f.index, none);
        EXPECT_EQ(f.displacement, 0);
        EXPECT_EQ(f.address_bytes, code_64 ? 8 : 4);
    }
    EXPECT_EQ(form_of({0x60}, false).base, rsp);
    EXPECT_EQ(form_of({0x67, 0xc8, 0x20, 0, 1}).address_bytes, 8); // the stack's size
}

TEST(split_store, pushf_spoils_the_flags)
{
    const auto s = find_split_store(code{0x9c}, true);
    ASSERT_TRUE(s.has_value());
    EXPECT_TRUE(s->spoils_flags);
    EXPECT_EQ(parts_of(*s), pushes(1, 8));
    EXPECT_EQ(find_split_store(code{0x66, 0x9c}, true)->low, -2);
    EXPECT_EQ(find_split_store(code{0x9c}, false)->low, -4);
    EXPECT_FALSE(find_split_store(code{0x9d}, true).has_value()); // popf
}

TEST(split_store, setcc_to_memory_spoils_the_flags)
{
    const auto s = find_split_store(code{0x41, 0x0f, 0x9c, 0x45, 0x33}, true); // setl 51(%r13)
    ASSERT_TRUE(s.has_value());
    EXPECT_TRUE(s->spoils_flags);
    EXPECT_EQ(s->address.base, 13);
    EXPECT_EQ(s->high, 1);
    EXPECT_FALSE(find_split_store(code{0x0f, 0x94, 0xc0}, true).has_value()); // setz %al
}

} // namespace

} // namespace rmpopt
