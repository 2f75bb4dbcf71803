// SPDX-License-Identifier: GPL-2.0-or-later
#include "x86/plain_block.h"

#include "x86/insn_match.h"
#include "x86/split_store.h"
#include "x86/tlb_insn.h"

#include <array>
#include <gtest/gtest.h>
#include <ostream>
#include <random>
#include <string>
#include <vector>
#include <Zydis/Zydis.h>

namespace rmpopt
{

namespace
{

using code = std::vector<std::uint8_t>;

const code ret{0xc3}, nop{0x90}, jump{0xeb, 0x00};

code operator+(code a, const code &b)
{
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

bool is_plain(const code &block, bool tries_stores = true,
              watched_accesses watched = watched_accesses::none)
{
    return is_plain_block(
        {.code = block, .code_64 = true, .tries_stores = tries_stores, .watched = watched});
}

struct block_case {
    const char *name;
    code block;
};
void PrintTo(const block_case &c, std::ostream *os)
{
    *os << c.name;
}
const auto case_name = [](const auto &info) { return std::string(info.param.name); };

class plain_block : public testing::TestWithParam<block_case>
{
};

TEST_P(plain_block, needs_no_plugin)
{
    EXPECT_TRUE(is_plain(GetParam().block));
}

TEST_P(plain_block, is_none_without_its_end)
{
    code block = GetParam().block;
    block.pop_back();
    EXPECT_FALSE(is_plain(block));
}

INSTANTIATE_TEST_SUITE_P(
    all, plain_block,
    testing::Values(
        block_case{"return_only", {0xc3}},
        // push %rbp; mov %rsp,%rbp; sub $8,%rsp; ret
        block_case{"prologue", {0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x08, 0xc3}},
        // movabs whose immediate has CPUID in it; ret
        block_case{"bytes_of_an_immediate", {0x48, 0xb8, 0x0f, 0xa2, 0, 0, 0, 0, 0, 0, 0xc3}},
        // mov 0xa20f(%rip),%eax; ret
        block_case{"bytes_of_a_displacement", {0x8b, 0x05, 0x0f, 0xa2, 0, 0, 0xc3}},
        // mov $0x320f,%ax; movw $0x300f,(%rax,%rcx,8); ret
        block_case{"short_operands",
                   {0x66, 0xb8, 0x0f, 0x32, 0x66, 0xc7, 0x04, 0xc8, 0x0f, 0x30, 0xc3}},
        // testl $0xf4f4f4f4,(%rsp); test $0xf4,%al; not %eax; ret
        block_case{"test_and_not",
                   {0xf7, 0x04, 0x24, 0xf4, 0xf4, 0xf4, 0xf4, 0xf6, 0xc0, 0xf4, 0xf7, 0xd0, 0xc3}},
        block_case{"stac", {0x0f, 0x01, 0xcb, 0xc3}},
        block_case{"setcc_of_a_register", {0x0f, 0x94, 0xc0, 0xc3}},
        block_case{"long_nop", {0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc3}},
        block_case{"indirect_call", {0x90, 0xff, 0x10}}),
    case_name);

class concerned_block : public testing::TestWithParam<block_case>
{
};

TEST_P(concerned_block, is_for_the_plugin)
{
    EXPECT_FALSE(is_plain(GetParam().block + ret));
    EXPECT_FALSE(is_plain(nop + GetParam().block + ret));
}

TEST_P(concerned_block, is_plain_when_it_ends_before)
{
    EXPECT_TRUE(is_plain(ret + GetParam().block));
}

INSTANTIATE_TEST_SUITE_P(
    all, concerned_block,
    testing::Values(block_case{"cpuid", {0x0f, 0xa2}}, block_case{"rdmsr", {0x0f, 0x32}},
                    block_case{"wrmsr", {0x0f, 0x30}},
                    block_case{"wrmsr_with_prefixes", {0x66, 0x48, 0x0f, 0x30}},
                    block_case{"rmpupdate", {0xf2, 0x0f, 0x01, 0xfe}},
                    block_case{"psmash", {0xf3, 0x0f, 0x01, 0xff}},
                    block_case{"rmpread", {0xf2, 0x0f, 0x01, 0xfd}},
                    block_case{"rmpopt", {0xf2, 0x0f, 0x01, 0xfc}},
                    block_case{"vmrun", {0x0f, 0x01, 0xd8}},
                    block_case{"vmsave", {0x0f, 0x01, 0xdb}}, block_case{"hlt", {0xf4}},
                    block_case{"marker", {0x0f, 0x1f, 0x84, 0x00, 0x52, 0x4d, 0x50, 0x4f}},
                    block_case{"of_unknown_length", {0x62, 0xf1, 0x7c, 0x48, 0x10, 0x00}}),
    case_name);

class split_block : public testing::TestWithParam<block_case>
{
};

TEST_P(split_block, is_for_the_plugin_when_stores_are_tried)
{
    EXPECT_FALSE(is_plain(GetParam().block + ret, true));
    EXPECT_TRUE(is_plain(GetParam().block + ret, false));
}

INSTANTIATE_TEST_SUITE_P(all, split_block,
                         testing::Values(block_case{"pushf", {0x9c}},
                                         block_case{"setcc", {0x0f, 0x94, 0x00}},
                                         block_case{"sgdt", {0x0f, 0x01, 0x00}}),
                         case_name);

struct access_case {
    const char *name;
    code block;
    bool loads, stores;
};
void PrintTo(const access_case &c, std::ostream *os)
{
    *os << c.name;
}

class accessing_block : public testing::TestWithParam<access_case>
{
};

TEST_P(accessing_block, is_plain_while_its_accesses_are_not_watched)
{
    const access_case &c = GetParam();
    EXPECT_TRUE(is_plain(c.block + jump, false));
    EXPECT_EQ(is_plain(c.block + jump, false, watched_accesses::stores), !c.stores);
    EXPECT_EQ(is_plain(c.block + jump, false, watched_accesses::all), !c.stores && !c.loads);
}

INSTANTIATE_TEST_SUITE_P(
    all, accessing_block,
    testing::Values(access_case{"add_registers", {0x01, 0xc8}, false, false},
                    access_case{"mov_from_memory", {0x8b, 0x07}, true, false},
                    access_case{"mov_to_memory", {0x89, 0x07}, false, true},
                    access_case{"add_to_memory", {0x01, 0x07}, true, true},
                    access_case{"cmp_with_memory", {0x80, 0x3f, 0x01}, true, false},
                    access_case{"add_immediate_to_memory", {0x80, 0x07, 0x01}, true, true},
                    access_case{"test_memory", {0xf6, 0x07, 0x01}, true, false},
                    access_case{"not_memory", {0xf6, 0x17}, true, true},
                    access_case{"push", {0x50}, false, true},
                    access_case{"pop", {0x58}, true, false},
                    access_case{"call", {0xe8, 0, 0, 0, 0}, false, true},
                    access_case{"call_register", {0xff, 0xd0}, false, true},
                    access_case{"jump_to_register", {0xff, 0xe0}, false, false},
                    access_case{"ret", {0xc3}, true, false},
                    access_case{"rep_stos", {0xf3, 0x48, 0xab}, false, true},
                    access_case{"setcc", {0x0f, 0x94, 0x07}, false, true},
                    access_case{"vector_load", {0x0f, 0x10, 0x07}, true, false},
                    access_case{"vector_store", {0x0f, 0x11, 0x07}, false, true}),
    case_name);

TEST(plain_block_tlb, drops_no_translations)
{
    const code invlpg{0x0f, 0x01, 0x38}; // its operand is none that it accesses
    EXPECT_TRUE(is_plain(invlpg + jump, false, watched_accesses::none));
    EXPECT_FALSE(is_plain(invlpg + jump, false, watched_accesses::all));
}

TEST(plain_block_after, string_or_guest_is_told_by_the_byte_before)
{
    const code page{0xf3, 0xaa, 0x90, 0x0f, 0x01, 0xd8, 0xc3};
    EXPECT_TRUE(may_follow_string_or_guest(page, 0)); // there may be one in the page before
    EXPECT_FALSE(may_follow_string_or_guest(page, 1));
    EXPECT_TRUE(may_follow_string_or_guest(page, 2));
    EXPECT_FALSE(may_follow_string_or_guest(page, 3));
    EXPECT_TRUE(may_follow_string_or_guest(page, 6));
}

TEST(plain_block_mode, is_64_bit_only)
{
    EXPECT_FALSE(is_plain_block({.code = ret, .code_64 = false, .tries_stores = false}));
}

TEST(plain_block_end, comes_before_the_page_does)
{
    EXPECT_FALSE(is_plain(code(4096, 0x90)));
    EXPECT_TRUE(is_plain(code(4095, 0x90) + ret));
}

/// Instructions as they come, but more often such as matter.
class random_code
{
  public:
    code next()
    {
        static constexpr std::array<std::uint8_t, 16> frequent{0x0f, 0x66, 0x48, 0xf2, 0xf3, 0x01,
                                                               0xa2, 0x30, 0x32, 0x9c, 0xf4, 0x94,
                                                               0x1f, 0x84, 0xc7, 0x67};
        code out(16);
        for (std::uint8_t &b : out) {
            const std::uint32_t r = rng_();
            b = (r & 0x100) != 0 ? static_cast<std::uint8_t>(r) : frequent[r % frequent.size()];
        }
        return out;
    }

  private:
    std::mt19937 rng_{1}; // NOLINT(cert-msc51-cpp): the same in each run
};

/// Not only to another place: to a handler as well.
bool is_branch(const ZydisDecodedInstruction &insn)
{
    switch (insn.meta.category) {
    case ZYDIS_CATEGORY_INTERRUPT:
    case ZYDIS_CATEGORY_RET:
    case ZYDIS_CATEGORY_SYSCALL:
    case ZYDIS_CATEGORY_SYSRET:
        return true;
    default:
        return insn.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE ||
               insn.mnemonic == ZYDIS_MNEMONIC_UD2;
    }
}

struct zydis_insn {
    std::size_t size = 0; ///< 0: there is none
    bool branches = false, loads = false, stores = false;
};

void add_access(const ZydisDecodedOperand &op, zydis_insn &out)
{
    if (op.type == ZYDIS_OPERAND_TYPE_MEMORY && op.mem.type == ZYDIS_MEMOP_TYPE_MEM) {
        out.loads |= (op.actions & ZYDIS_OPERAND_ACTION_MASK_READ) != 0;
        out.stores |= (op.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
    }
}

zydis_insn ask_zydis(const code &bytes)
{
    ZydisDecoder decoder;
    ZydisDecodedInstruction insn;
    std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operands;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    zydis_insn out;
    if (ZYAN_SUCCESS(
            ZydisDecoderDecodeFull(&decoder, bytes.data(), bytes.size(), &insn, operands.data()))) {
        out.size = insn.length;
        out.branches = is_branch(insn);
        for (const auto &op : std::span(operands).first(insn.operand_count)) {
            add_access(op, out);
        }
    }
    return out;
}

/// Calls `check(code, what Zydis says)` for many instructions.
template <class F> void for_random_instructions(F check)
{
    random_code random;
    for (unsigned i = 0; i < 2'000'000 && !testing::Test::HasFatalFailure(); ++i) {
        const code bytes = random.next();
        const zydis_insn known = ask_zydis(bytes);
        if (known.size != 0) {
            check(code(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(known.size)),
                  known);
        }
    }
}

TEST(plain_block_of_random_code, agrees_with_zydis_on_lengths)
{
    unsigned plain = 0;
    for_random_instructions([&](const code &insn, const zydis_insn &known) {
        if (known.branches || !is_plain(insn + ret)) {
            return; // in doubt it may say no
        }
        ++plain;
        // The RET was found just behind it, not inside and not an instruction later.
        ASSERT_FALSE(is_plain(insn)) << testing::PrintToString(insn);
        ASSERT_FALSE(is_plain(insn + code{0x0f, 0xa2} + ret)) << testing::PrintToString(insn);
        ASSERT_EQ(match_insn(insn), emulated_insn::none) << testing::PrintToString(insn);
        ASSERT_FALSE(find_split_store(insn, true).has_value()) << testing::PrintToString(insn);
    });
    EXPECT_GT(plain, 300'000u);
}

TEST(plain_block_of_random_code, agrees_with_zydis_on_accesses)
{
    unsigned without_store = 0, without_access = 0;
    for_random_instructions([&](const code &insn, const zydis_insn &known) {
        const code block = known.branches ? insn : insn + jump;
        if (is_plain(block, false, watched_accesses::stores)) {
            ++without_store;
            ASSERT_FALSE(known.stores) << testing::PrintToString(insn);
        }
        if (is_plain(block, false, watched_accesses::all)) {
            ++without_access;
            ASSERT_FALSE(known.loads || known.stores) << testing::PrintToString(insn);
            ASSERT_FALSE(find_tlb_insn(insn, true).has_value()) << testing::PrintToString(insn);
        }
    });
    EXPECT_GT(without_store, 200'000u);
    EXPECT_GT(without_access, 100'000u);
}

} // namespace

} // namespace rmpopt
