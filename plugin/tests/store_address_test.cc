// SPDX-License-Identifier: GPL-2.0-or-later
#include "x86/store_address.h"

#include <gtest/gtest.h>
#include <ostream>

namespace rmpopt
{

namespace
{

/// A store_range by where it is.
struct place {
    std::uint64_t address, bytes;

    bool operator==(const place &) const = default;
};
void PrintTo(const place &p, std::ostream *os)
{
    *os << "[" << std::hex << p.address << " + " << std::dec << p.bytes << "]";
}

using code = std::vector<std::uint8_t>;
using stores = std::vector<place>;

constexpr std::uint64_t rax = 0xffff888000001000, rcx = 0x20, rdx = 0xffff888000003000,
                        rbx = 0xffff888000002000, rsp = 0xffffc90000008000,
                        rbp = 0xffffc90000008100, rsi = 0xffff888000004000,
                        rdi = 0xffff888000005000, r8 = 0x100, rip = 0xffffffff81000000,
                        fs = 0x7f0000000000, gs = 0xffff88803ec00000;

address_registers registers()
{
    address_registers r{};
    const std::uint64_t low[] = {rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8};
    std::copy(std::begin(low), std::end(low), r.gpr);
    r.gpr[15] = 0xffff888000006000;
    r.rip = rip;
    r.fs_base = fs;
    r.gs_base = gs;
    r.long_mode = true;
    return r;
}

stores stores_of(const code &bytes, const address_registers &r)
{
    stores out;
    for (const store_range &s : written_ranges(bytes, r)) {
        out.push_back({s.address, s.bytes});
    }
    return out;
}

struct store_case {
    const char *name;
    code bytes;
    stores expected;
};
void PrintTo(const store_case &c, std::ostream *os)
{
    *os << c.name;
}

class store_of : public testing::TestWithParam<store_case>
{
};

TEST_P(store_of, is_found)
{
    EXPECT_EQ(stores_of(GetParam().bytes, registers()), GetParam().expected);
}

const auto case_name = [](const auto &info) { return std::string(info.param.name); };

INSTANTIATE_TEST_SUITE_P(
    integer, store_of,
    testing::Values(
        store_case{"mov_8", {0x88, 0x08}, {{rax, 1}}},
        store_case{"mov_16", {0x66, 0x89, 0x08}, {{rax, 2}}},
        store_case{"mov_32", {0x89, 0x08}, {{rax, 4}}},
        store_case{"mov_64", {0x48, 0x89, 0x08}, {{rax, 8}}},
        store_case{"mov_imm_disp8", {0xc7, 0x43, 0xf8, 1, 0, 0, 0}, {{rbx - 8, 4}}},
        store_case{"mov_disp32", {0x88, 0x88, 0, 0, 0, 0x80}, {{rax - 0x80000000, 1}}},
        store_case{"mov_sib", {0x89, 0x44, 0x8b, 0x10}, {{rbx + 4 * rcx + 0x10, 4}}},
        store_case{"mov_r15_r8", {0x43, 0x88, 0x0c, 0x87}, {{0xffff888000006000 + 4 * r8, 1}}},
        store_case{"mov_rip_relative", {0x89, 0x05, 0, 1, 0, 0}, {{rip + 6 + 0x100, 4}}},
        store_case{
            "mov_imm_rip_relative", {0xc7, 0x05, 0, 1, 0, 0, 1, 0, 0, 0}, {{rip + 10 + 0x100, 4}}},
        store_case{"mov_fs", {0x64, 0x88, 0x0c, 0x25, 0x10, 0, 0, 0}, {{fs + 0x10, 1}}},
        store_case{"mov_gs", {0x65, 0x48, 0x89, 0x04, 0x25, 0x20, 0, 0, 0}, {{gs + 0x20, 8}}},
        store_case{"mov_gs_register", {0x65, 0x48, 0x89, 0x01}, {{gs + rcx, 8}}},
        store_case{"mov_ds_has_base_0", {0x3e, 0x88, 0x08}, {{rax, 1}}},
        store_case{"mov_moffs",
                   {0xa2, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11},
                   {{0x1122334455667788, 1}}},
        store_case{"mov_address_size_32", {0x67, 0x88, 0x08}, {{rax & 0xffffffff, 1}}},
        store_case{"movnti", {0x48, 0x0f, 0xc3, 0x08}, {{rax, 8}}},
        store_case{"add", {0x01, 0x08}, {{rax, 4}}},
        store_case{"inc", {0x48, 0xff, 0x00}, {{rax, 8}}},
        store_case{"shl", {0xc1, 0x20, 4}, {{rax, 4}}},
        store_case{"setz", {0x0f, 0x94, 0x00}, {{rax, 1}}},
        store_case{"xchg", {0x87, 0x08}, {{rax, 4}}},
        store_case{"xadd", {0xf0, 0x0f, 0xc1, 0x08}, {{rax, 4}}},
        store_case{"cmpxchg", {0xf0, 0x48, 0x0f, 0xb1, 0x0b}, {{rbx, 8}}},
        store_case{"cmpxchg8b", {0x0f, 0xc7, 0x0b}, {{rbx, 8}}},
        store_case{"cmpxchg16b", {0x48, 0x0f, 0xc7, 0x0b}, {{rbx, 16}}},
        store_case{"sidt", {0x0f, 0x01, 0x08}, {{rax, 10}}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    stack, store_of,
    testing::Values(store_case{"push_register", {0x50}, {{rsp - 8, 8}}},
                    store_case{"push_16", {0x66, 0x50}, {{rsp - 2, 2}}},
                    store_case{"push_imm", {0x68, 1, 0, 0, 0}, {{rsp - 8, 8}}},
                    store_case{"push_memory", {0xff, 0x33}, {{rsp - 8, 8}}},
                    store_case{"pushf", {0x9c}, {{rsp - 8, 8}}},
                    store_case{"call", {0xe8, 0, 0, 0, 0}, {{rsp - 8, 8}}},
                    store_case{"call_register", {0xff, 0xd0}, {{rsp - 8, 8}}},
                    store_case{"call_memory", {0xff, 0x13}, {{rsp - 8, 8}}},
                    store_case{"enter", {0xc8, 0x10, 0, 0}, {{rsp - 8, 8}}},
                    store_case{"mov_to_stack", {0x48, 0x89, 0x44, 0x24, 8}, {{rsp + 8, 8}}},
                    store_case{"pop_memory", {0x8f, 0x03}, {{rbx, 8}}},
                    store_case{
                        "pop_memory_by_rsp", {0x8f, 0x44, 0x24, 0x10}, {{rsp + 8 + 0x10, 8}}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(string, store_of,
                         testing::Values(store_case{"stosb", {0xaa}, {{rdi, 1}}},
                                         store_case{"stosq", {0x48, 0xab}, {{rdi, 8}}},
                                         store_case{"rep_stosq", {0xf3, 0x48, 0xab}, {{rdi, 8}}},
                                         store_case{"movsb", {0xa4}, {{rdi, 1}}},
                                         store_case{"rep_movsq", {0xf3, 0x48, 0xa5}, {{rdi, 8}}},
                                         store_case{
                                             "stosb_fs_is_still_es", {0x64, 0xaa}, {{rdi, 1}}},
                                         store_case{"insd", {0x6d}, {{rdi, 4}}}),
                         case_name);

INSTANTIATE_TEST_SUITE_P(
    vector, store_of,
    testing::Values(store_case{"movaps", {0x0f, 0x29, 0x03}, {{rbx, 16}}},
                    store_case{"movups", {0x0f, 0x11, 0x03}, {{rbx, 16}}},
                    store_case{"movsd", {0xf2, 0x0f, 0x11, 0x03}, {{rbx, 8}}},
                    store_case{"movss", {0xf3, 0x0f, 0x11, 0x03}, {{rbx, 4}}},
                    store_case{"movdqu", {0xf3, 0x0f, 0x7f, 0x03}, {{rbx, 16}}},
                    store_case{"movntdq", {0x66, 0x0f, 0xe7, 0x03}, {{rbx, 16}}},
                    store_case{"movd", {0x66, 0x0f, 0x7e, 0x03}, {{rbx, 4}}},
                    store_case{"movhps", {0x0f, 0x17, 0x03}, {{rbx, 8}}},
                    store_case{"pextrb", {0x66, 0x0f, 0x3a, 0x14, 0x03, 1}, {{rbx, 1}}},
                    store_case{"vmovups_256", {0xc5, 0xfc, 0x11, 0x03}, {{rbx, 32}}},
                    store_case{"vmovdqa_256", {0xc5, 0xfd, 0x7f, 0x03}, {{rbx, 32}}},
                    store_case{"vmaskmovps", {0xc4, 0xe2, 0x7d, 0x2e, 0x03}, {{rbx, 32}}},
                    store_case{"maskmovdqu", {0x66, 0x0f, 0xf7, 0xc1}, {{rdi, 16}}},
                    store_case{"maskmovq", {0x0f, 0xf7, 0xc1}, {{rdi, 8}}},
                    store_case{"fxsave", {0x0f, 0xae, 0x03}, {{rbx, 512}}},
                    store_case{"xsave", {0x0f, 0xae, 0x23}, {{rbx, 4096}}},
                    store_case{"xsaveopt", {0x0f, 0xae, 0x33}, {{rbx, 4096}}},
                    store_case{"xsaves", {0x0f, 0xc7, 0x2b}, {{rbx, 4096}}},
                    store_case{"fstp_80", {0xdb, 0x3b}, {{rbx, 10}}},
                    store_case{"fnstcw", {0xd9, 0x3b}, {{rbx, 2}}},
                    store_case{"stmxcsr", {0x0f, 0xae, 0x1b}, {{rbx, 4}}}),
    case_name);

/// No memory is written, or the bytes are no instruction.
INSTANTIATE_TEST_SUITE_P(
    none, store_of,
    testing::Values(store_case{"nothing", {}, {}}, store_case{"nop", {0x90}, {}},
                    store_case{"nop_memory", {0x0f, 0x1f, 0x00}, {}},
                    store_case{"load", {0x48, 0x8b, 0x08}, {}}, store_case{"cmp", {0x39, 0x08}, {}},
                    store_case{"test", {0x85, 0x08}, {}}, store_case{"bt", {0x0f, 0xa3, 0x08}, {}},
                    store_case{"lea", {0x48, 0x8d, 0x08}, {}},
                    store_case{"pop_register", {0x58}, {}}, store_case{"ret", {0xc3}, {}},
                    store_case{"lods", {0xac}, {}}, store_case{"scas", {0xae}, {}},
                    store_case{"cmps", {0xa6}, {}}, store_case{"prefetch", {0x0f, 0x18, 0x08}, {}},
                    store_case{"fxrstor", {0x0f, 0xae, 0x0b}, {}},
                    store_case{"mov_register", {0x89, 0xc8}, {}},
                    store_case{"truncated", {0x48, 0x89}, {}},
                    store_case{"prefixes_only", {0x66, 0xf2, 0x48}, {}},
                    store_case{"undefined", {0x0f, 0x0b}, {}},
                    store_case{"not_in_64_bit_mode", {0x60}, {}}),
    case_name);

/// BTS and its like with a bit number in a register.
stores bit_string(const code &c, std::uint64_t bit)
{
    address_registers r = registers();
    r.gpr[1] = bit;
    return stores_of(c, r);
}

TEST(bit_string_store, reaches_beyond_its_operand)
{
    EXPECT_EQ(bit_string({0x48, 0x0f, 0xab, 0x0b}, 1000), (stores{{rbx + 120, 8}}));
    EXPECT_EQ(bit_string({0x0f, 0xab, 0x0b}, 1000), (stores{{rbx + 124, 4}}));
    EXPECT_EQ(bit_string({0x66, 0x0f, 0xab, 0x0b}, 1000), (stores{{rbx + 124, 2}}));
}

TEST(bit_string_store, reaches_below_its_operand)
{
    EXPECT_EQ(bit_string({0x48, 0x0f, 0xab, 0x0b}, -1ull), (stores{{rbx - 8, 8}}));
    EXPECT_EQ(bit_string({0x0f, 0xb3, 0x0b}, 0xffffffff), (stores{{rbx - 4, 4}}));
    EXPECT_EQ(bit_string({0x66, 0x0f, 0xbb, 0x0b}, 0xffff), (stores{{rbx - 2, 2}}));
}

TEST(bit_string_store, takes_only_as_many_bits_of_the_register_as_its_operand_has)
{
    EXPECT_EQ(bit_string({0x0f, 0xab, 0x0b}, 0xffffffff00000000), (stores{{rbx, 4}}));
    EXPECT_EQ(bit_string({0x66, 0x0f, 0xab, 0x0b}, 0xffff0000), (stores{{rbx, 2}}));
}

TEST(bit_string_store, stays_in_its_operand_with_an_immediate)
{
    EXPECT_EQ(stores_of(code{0x48, 0x0f, 0xba, 0x2b, 0xff}, registers()), (stores{{rbx, 8}}));
}

// 32-bit code.

TEST(store_32, reads_the_low_halves_of_the_registers)
{
    address_registers r = registers();
    r.long_mode = false;
    EXPECT_EQ(stores_of(code{0x89, 0x08}, r), (stores{{rax & 0xffffffff, 4}}));
}

TEST(store_32, push_is_4_bytes)
{
    address_registers r = registers();
    r.long_mode = false;
    r.gpr[4] = 0x8000;
    EXPECT_EQ(stores_of(code{0x50}, r), (stores{{0x7ffc, 4}}));
    EXPECT_EQ(stores_of(code{0xe8, 0, 0, 0, 0}, r), (stores{{0x7ffc, 4}}));
}

TEST(store_32, pusha_is_32_bytes)
{
    address_registers r = registers();
    r.long_mode = false;
    r.gpr[4] = 0x8000;
    EXPECT_EQ(stores_of(code{0x60}, r), (stores{{0x7fe0, 32}}));
}

TEST(store_32, rex_is_an_instruction_of_its_own)
{
    address_registers r = registers();
    r.long_mode = false;
    EXPECT_EQ(stores_of(code{0x48, 0x89, 0x08}, r), stores{}); // DEC EAX
}

} // namespace

} // namespace rmpopt
