// SPDX-License-Identifier: GPL-2.0-or-later
// Instructions at a made-up register state; host_store_signal_test.cc has real ones.
#include "x86/host_store.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <gtest/gtest.h>
#include <ostream>
#include <string>
#include <vector>

namespace rmpopt
{

namespace
{

using code = std::vector<std::uint8_t>;

struct run {
    std::uintptr_t address;
    std::vector<std::uint8_t> bytes;

    bool operator==(const run &) const = default;
};
void PrintTo(const run &r, std::ostream *os)
{
    *os << std::hex << r.address << ":";
    for (const unsigned b : r.bytes) {
        *os << " " << b;
    }
}

std::vector<run> seen;

void take(std::uintptr_t address, std::span<const std::byte> bytes)
{
    run r{address, std::vector<std::uint8_t>(bytes.size())};
    std::memcpy(r.bytes.data(), bytes.data(), bytes.size());
    seen.push_back(r);
}

constexpr greg_t rax = 0x1122334455667788, rbx = 0x570000000, rcx = 0x20, rdx = 0x7a7b7c7d7e7f0102,
                 rsp = 0x580008070, r9 = 0x0102030405060708, r12 = 0x590000000;

class host_store_test : public testing::Test
{
  protected:
    void SetUp() override
    {
        seen.clear();
        c.uc_mcontext.fpregs = reinterpret_cast<fpregset_t>(xsave_area.data());
        reg(REG_RAX) = rax;
        reg(REG_RBX) = rbx;
        reg(REG_RCX) = rcx;
        reg(REG_RDX) = rdx;
        reg(REG_RSP) = rsp;
        reg(REG_R9) = r9;
        reg(REG_R12) = r12;
    }
    greg_t &reg(int number) { return c.uc_mcontext.gregs[number]; }
    std::uintptr_t rip() const { return reinterpret_cast<std::uintptr_t>(text.data()); }
    bool step(const code &insn)
    {
        text.fill(0x90);
        std::ranges::copy(insn, text.begin());
        reg(REG_RIP) = static_cast<greg_t>(rip());
        return step_over_store(c, take);
    }
    /// Steps over `insn`, which leaves all registers but RIP alone.
    void expect_store(const code &insn, const std::vector<run> &runs)
    {
        const auto before = std::to_array(c.uc_mcontext.gregs);
        ASSERT_TRUE(step(insn));
        EXPECT_EQ(seen, runs);
        EXPECT_EQ(reg(REG_RIP), static_cast<greg_t>(rip() + insn.size()));
        reg(REG_RIP) = before[REG_RIP];
        EXPECT_EQ(std::to_array(c.uc_mcontext.gregs), before);
    }
    void expect_refusal(const code &insn)
    {
        const auto before = std::to_array(c.uc_mcontext.gregs);
        EXPECT_FALSE(step(insn));
        EXPECT_TRUE(seen.empty());
        EXPECT_EQ(reg(REG_RIP), static_cast<greg_t>(rip()));
        reg(REG_RIP) = before[REG_RIP];
        EXPECT_EQ(std::to_array(c.uc_mcontext.gregs), before);
    }

    ucontext_t c{};
    std::array<std::uint8_t, 32> text{};
    alignas(64) std::array<std::byte, 8192> xsave_area{};
};

struct move_case {
    const char *name;
    code insn;
    greg_t address;
    std::vector<std::uint8_t> bytes;
};
void PrintTo(const move_case &m, std::ostream *os)
{
    *os << m.name;
}
const auto case_name = [](const auto &info) { return std::string(info.param.name); };

class move_of : public host_store_test, public testing::WithParamInterface<move_case>
{
};

TEST_P(move_of, stores_its_source)
{
    const move_case &m = GetParam();
    expect_store(m.insn, {{static_cast<std::uintptr_t>(m.address), m.bytes}});
}

const std::vector<std::uint8_t> eax{0x88, 0x77, 0x66, 0x55};

INSTANTIATE_TEST_SUITE_P(
    registers, move_of,
    testing::Values(
        move_case{"al", {0x88, 0x03}, rbx, {0x88}}, move_case{"ah", {0x88, 0x23}, rbx, {0x77}},
        move_case{"ch", {0x88, 0x2b}, rbx, {0}}, move_case{"dl", {0x88, 0x13}, rbx, {0x02}},
        move_case{"dh", {0x88, 0x33}, rbx, {0x01}},
        move_case{"bh", {0x41, 0x88, 0x1c, 0x24}, r12, {0}},
        move_case{"dh_is_sil_with_rex", {0x40, 0x88, 0x33}, rbx, {0}},
        move_case{"ah_is_spl_with_rex", {0x40, 0x88, 0x23}, rbx, {0x70}},
        move_case{"r9b", {0x44, 0x88, 0x0b}, rbx, {0x08}},
        move_case{"ax", {0x66, 0x89, 0x03}, rbx, {0x88, 0x77}},
        move_case{"eax", {0x89, 0x03}, rbx, eax},
        move_case{"rax", {0x48, 0x89, 0x03}, rbx, {0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11}},
        move_case{"r9", {0x4c, 0x89, 0x0b}, rbx, {8, 7, 6, 5, 4, 3, 2, 1}},
        move_case{"movnti", {0x0f, 0xc3, 0x03}, rbx, eax},
        move_case{"xrelease_mov", {0xf3, 0x89, 0x03}, rbx, eax}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    immediates, move_of,
    testing::Values(move_case{"imm8", {0xc6, 0x03, 0x80}, rbx, {0x80}},
                    move_case{"imm16", {0x66, 0xc7, 0x03, 0x34, 0x82}, rbx, {0x34, 0x82}},
                    move_case{"imm32", {0xc7, 0x03, 1, 2, 3, 0x84}, rbx, {1, 2, 3, 0x84}},
                    move_case{"imm32_extended",
                              {0x48, 0xc7, 0x03, 0xfe, 0xff, 0xff, 0xff},
                              rbx,
                              {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
                    move_case{"imm32_not_negative",
                              {0x48, 0xc7, 0x03, 1, 2, 3, 0x7f},
                              rbx,
                              {1, 2, 3, 0x7f, 0, 0, 0, 0}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    addresses, move_of,
    testing::Values(move_case{"disp8", {0x89, 0x43, 0x10}, rbx + 0x10, eax},
                    move_case{"disp8_negative", {0x89, 0x43, 0xf0}, rbx - 0x10, eax},
                    move_case{"disp32", {0x89, 0x83, 0, 0, 0, 0x80}, rbx - 0x80000000, eax},
                    move_case{"sib", {0x89, 0x44, 0x8b, 0x10}, rbx + 4 * rcx + 0x10, eax},
                    move_case{"index_only", {0x89, 0x04, 0xcd, 0, 1, 0, 0}, 8 * rcx + 0x100, eax},
                    move_case{"r12", {0x41, 0x89, 0x04, 0x24}, r12, eax},
                    move_case{"rsp", {0x89, 0x44, 0x24, 0xf8}, rsp - 8, eax},
                    move_case{"absolute", {0x89, 0x04, 0x25, 0, 0, 0, 0x70}, 0x70000000, eax},
                    move_case{"moffs", {0xa3, 0, 0, 0, 0x70, 5, 0, 0, 0}, rbx, eax},
                    move_case{"ds_has_base_0", {0x3e, 0x89, 0x03}, rbx, eax},
                    move_case{"address_size_32", {0x67, 0x89, 0x03}, rbx & 0xffffffff, eax},
                    move_case{"address_size_32_sib",
                              {0x67, 0x89, 0x44, 0x8b, 0x10},
                              (rbx & 0xffffffff) + 4 * rcx + 0x10,
                              eax}),
    case_name);

TEST_F(host_store_test, finds_an_address_relative_to_the_next_instruction)
{
    expect_store({0x89, 0x05, 0, 1, 0, 0}, {{rip() + 6 + 0x100, eax}});
    seen.clear();
    expect_store({0xc7, 0x05, 0, 1, 0, 0, 1, 2, 3, 4}, {{rip() + 10 + 0x100, {1, 2, 3, 4}}});
}

TEST_F(host_store_test, splits_a_store_where_a_page_ends)
{
    reg(REG_RBX) = rbx + 4093;
    expect_store({0x48, 0x89, 0x03},
                 {{rbx + 4093, {0x88, 0x77, 0x66}}, {rbx + 4096, {0x55, 0x44, 0x33, 0x22, 0x11}}});
}

TEST_F(host_store_test, does_not_split_a_store_that_ends_with_a_page)
{
    reg(REG_RBX) = rbx + 4092;
    expect_store({0x89, 0x03}, {{rbx + 4092, eax}});
}

TEST_F(host_store_test, stores_zeros_for_vector_state_that_is_not_in_use)
{
    if (__builtin_cpu_supports("avx") == 0) {
        GTEST_SKIP() << "no AVX";
    }
    xsave_area[512] = std::byte{3}; // XSTATE_BV: x87 and SSE
    std::memset(&c.uc_mcontext.fpregs->_xmm[2], 0xee, 16);
    std::ranges::fill(std::span(xsave_area).subspan(576), std::byte{0x99});
    std::vector<std::uint8_t> expected(32, 0);
    std::fill_n(expected.begin(), 16, 0xee);
    expect_store({0xc5, 0xfc, 0x11, 0x13}, {{rbx, expected}}); // vmovups [rbx], ymm2
}

/// String instructions with RSI in `source` and RDI at `destination`.
class string_store_test : public host_store_test
{
  protected:
    static constexpr std::uintptr_t destination = rbx + 4094;

    void SetUp() override
    {
        host_store_test::SetUp();
        reg(REG_RSI) = reinterpret_cast<greg_t>(source.data());
        reg(REG_RDI) = destination;
        reg(REG_RCX) = 3;
    }
    void expect_steps(std::uint64_t rsi, std::uint64_t rdi, greg_t rcx_after)
    {
        EXPECT_EQ(reg(REG_RSI), reinterpret_cast<greg_t>(source.data() + rsi));
        EXPECT_EQ(reg(REG_RDI), static_cast<greg_t>(destination + rdi));
        EXPECT_EQ(reg(REG_RCX), rcx_after);
    }
    /// All bytes seen; they must follow each other and not cross pages.
    std::vector<std::uint8_t> bytes_seen() const
    {
        std::vector<std::uint8_t> all;
        for (const run &r : seen) {
            EXPECT_EQ(r.address, destination + all.size());
            EXPECT_EQ(r.address / 4096, (r.address + r.bytes.size() - 1) / 4096);
            all.insert(all.end(), r.bytes.begin(), r.bytes.end());
        }
        return all;
    }
    std::vector<std::uint8_t> source_bytes(std::size_t n) const
    {
        return {source.begin(), source.begin() + static_cast<std::ptrdiff_t>(n)};
    }

    std::array<std::uint8_t, 24> source{1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,
                                        13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24};
};

TEST_F(string_store_test, movs_copies_one_element)
{
    const code insns[] = {{0xa4}, {0x66, 0xa5}, {0xa5}, {0x48, 0xa5}};
    for (unsigned i = 0; i < 4; ++i) {
        SetUp();
        ASSERT_TRUE(step(insns[i]));
        EXPECT_EQ(bytes_seen(), source_bytes(1u << i));
        EXPECT_EQ(reg(REG_RIP), static_cast<greg_t>(rip() + insns[i].size()));
        expect_steps(1u << i, 1u << i, 3);
    }
}

TEST_F(string_store_test, stos_stores_one_element)
{
    const code insns[] = {{0xaa}, {0x66, 0xab}, {0xab}, {0x48, 0xab}};
    const std::vector<std::uint8_t> value{0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
    for (unsigned i = 0; i < 4; ++i) {
        SetUp();
        ASSERT_TRUE(step(insns[i]));
        EXPECT_EQ(bytes_seen(), std::vector(value.begin(), value.begin() + (1 << i)));
        expect_steps(0, 1u << i, 3);
    }
}

TEST_F(string_store_test, rep_movs_copies_all_that_is_left)
{
    for (const code &insn :
         {code{0xf3, 0xa4}, code{0xf3, 0x66, 0xa5}, code{0xf3, 0xa5}, code{0xf3, 0x48, 0xa5}}) {
        SetUp();
        ASSERT_TRUE(step(insn));
        const std::size_t n = bytes_seen().size();
        EXPECT_EQ(bytes_seen(), source_bytes(n));
        EXPECT_EQ(reg(REG_RIP), static_cast<greg_t>(rip() + insn.size()));
        expect_steps(n, n, 0);
    }
    EXPECT_EQ(bytes_seen().size(), 24u);
}

TEST_F(string_store_test, rep_stos_stores_all_that_is_left)
{
    ASSERT_TRUE(step({0xf3, 0xaa}));
    EXPECT_EQ(bytes_seen(), (std::vector<std::uint8_t>{0x88, 0x88, 0x88}));
    expect_steps(0, 3, 0);
}

TEST_F(string_store_test, repne_repeats_like_rep)
{
    ASSERT_TRUE(step({0xf2, 0xa4}));
    EXPECT_EQ(bytes_seen(), source_bytes(3));
    expect_steps(3, 3, 0);
}

TEST_F(string_store_test, rep_with_count_0_stores_nothing)
{
    reg(REG_RCX) = 0;
    ASSERT_TRUE(step({0xf3, 0xa4}));
    EXPECT_TRUE(seen.empty());
    expect_steps(0, 0, 0);
}

TEST_F(string_store_test, refuses_to_go_down)
{
    reg(REG_EFL) = 1 << 10;
    for (const code &insn : {code{0xa4}, code{0xaa}, code{0xf3, 0xa4}, code{0xf3, 0x48, 0xab}}) {
        expect_refusal(insn);
    }
}

TEST_F(string_store_test, refuses_a_source_in_fs_or_gs)
{
    expect_refusal({0x64, 0xa4});
    expect_refusal({0xf3, 0x65, 0x48, 0xa5});
}

TEST_F(string_store_test, refuses_32_bit_addresses)
{
    expect_refusal({0x67, 0xa4});
    expect_refusal({0xf3, 0x67, 0xaa});
}

TEST_F(string_store_test, refuses_strings_that_are_not_written)
{
    for (const code &insn : {code{0xa6}, code{0xac}, code{0xae}, code{0xf3, 0xa6}}) {
        expect_refusal(insn);
    }
}

struct refused_case {
    const char *name;
    code insn;
};
void PrintTo(const refused_case &r, std::ostream *os)
{
    *os << r.name;
}

class refusal_of : public host_store_test, public testing::WithParamInterface<refused_case>
{
};

TEST_P(refusal_of, does_nothing)
{
    expect_refusal(GetParam().insn);
}

INSTANTIATE_TEST_SUITE_P(
    read_and_write, refusal_of,
    testing::Values(refused_case{"add", {0x01, 0x03}}, refused_case{"lock_add", {0xf0, 0x01, 0x03}},
                    refused_case{"or_imm", {0x83, 0x0b, 1}}, refused_case{"inc", {0xff, 0x03}},
                    refused_case{"xchg", {0x87, 0x03}}, refused_case{"xadd", {0x0f, 0xc1, 0x03}},
                    refused_case{"cmpxchg", {0xf0, 0x0f, 0xb1, 0x13}},
                    refused_case{"cmpxchg16b", {0x48, 0x0f, 0xc7, 0x0b}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(segment, refusal_of,
                         testing::Values(refused_case{"fs", {0x64, 0x89, 0x03}},
                                         refused_case{"gs", {0x65, 0x89, 0x03}},
                                         refused_case{"fs_imm", {0x64, 0xc6, 0x03, 1}}),
                         case_name);

INSTANTIATE_TEST_SUITE_P(masked, refusal_of,
                         testing::Values(refused_case{"vmaskmovps", {0xc4, 0xe2, 0x75, 0x2e, 0x13}},
                                         refused_case{"vpmaskmovd",
                                                      {0xc4, 0xe2, 0x75, 0x8e, 0x13}}),
                         case_name);

INSTANTIATE_TEST_SUITE_P(
    other, refusal_of,
    testing::Values(
        refused_case{"load", {0x8b, 0x03}}, refused_case{"register", {0x89, 0xc3}},
        refused_case{"vector_load", {0x0f, 0x10, 0x03}}, refused_case{"push", {0x50}},
        refused_case{"call", {0xe8, 0, 0, 0, 0}}, refused_case{"setz", {0x0f, 0x94, 0x03}},
        refused_case{"segment_register", {0x8c, 0x1b}}, refused_case{"fst", {0xd9, 0x13}},
        refused_case{"movq_mmx", {0x0f, 0x7f, 0x03}}, refused_case{"nop", {0x90}},
        refused_case{"movsd_sse_load", {0xf2, 0x0f, 0x10, 0x03}}, refused_case{"invalid", {0x06}}),
    case_name);

} // namespace

} // namespace rmpopt
