// SPDX-License-Identifier: GPL-2.0-or-later
// The matching against Zydis over random bytes. RMPREAD and RMPOPT are newer than the Zydis of the
// distributions, which sees F2 0F 01 FD and FC as another instruction or as none.
#include "x86/insn_match.h"

#include <algorithm>
#include <array>
#include <gtest/gtest.h>
#include <random>
#include <vector>
#include <Zydis/Zydis.h>

namespace rmpopt
{

namespace
{

using bytes = std::vector<std::uint8_t>;

TEST(insn_match, finds_each_instruction)
{
    EXPECT_EQ(match_insn(bytes{0x0f, 0xa2}), emulated_insn::cpuid);
    EXPECT_EQ(match_insn(bytes{0x0f, 0x32}), emulated_insn::rdmsr);
    EXPECT_EQ(match_insn(bytes{0x0f, 0x30}), emulated_insn::wrmsr);
    EXPECT_EQ(match_insn(bytes{0xf2, 0x0f, 0x01, 0xfe}), emulated_insn::rmpupdate);
    EXPECT_EQ(match_insn(bytes{0xf3, 0x0f, 0x01, 0xff}), emulated_insn::psmash);
    EXPECT_EQ(match_insn(bytes{0xf2, 0x0f, 0x01, 0xfd}), emulated_insn::rmpread);
    EXPECT_EQ(match_insn(bytes{0xf2, 0x0f, 0x01, 0xfc}), emulated_insn::rmpopt);
    EXPECT_EQ(match_insn(bytes{0xf4}), emulated_insn::hlt);
}

TEST(insn_match, finds_them_behind_prefixes_that_mean_nothing)
{
    for (const std::uint8_t p : {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67}) {
        EXPECT_EQ(match_insn(bytes{p, 0xf2, 0x0f, 0x01, 0xfc}), emulated_insn::rmpopt);
        EXPECT_EQ(match_insn(bytes{0xf2, p, 0x0f, 0x01, 0xfc}), emulated_insn::rmpopt);
        EXPECT_EQ(match_insn(bytes{p, 0x0f, 0xa2}), emulated_insn::cpuid);
    }
}

TEST(insn_match, finds_them_behind_rex)
{
    for (std::uint8_t rex = 0x40; rex < 0x50; ++rex) {
        EXPECT_EQ(match_insn(bytes{0xf2, rex, 0x0f, 0x01, 0xfe}), emulated_insn::rmpupdate);
    }
}

TEST(insn_match, takes_the_last_of_two_repeat_prefixes)
{
    EXPECT_EQ(match_insn(bytes{0xf3, 0xf2, 0x0f, 0x01, 0xfe}), emulated_insn::rmpupdate);
    EXPECT_EQ(match_insn(bytes{0xf2, 0xf3, 0x0f, 0x01, 0xfe}), emulated_insn::rmpadjust);
}

TEST(insn_match, does_not_take_the_neighbours_with_other_prefixes)
{
    EXPECT_EQ(match_insn(bytes{0x0f, 0x01, 0xfc}), emulated_insn::none);       // CLZERO
    EXPECT_EQ(match_insn(bytes{0x0f, 0x01, 0xfd}), emulated_insn::none);       // RDPRU
    EXPECT_EQ(match_insn(bytes{0x0f, 0x01, 0xfe}), emulated_insn::none);       // INVLPGB
    EXPECT_EQ(match_insn(bytes{0x0f, 0x01, 0xff}), emulated_insn::none);       // TLBSYNC
    EXPECT_EQ(match_insn(bytes{0xf3, 0x0f, 0x01, 0xfc}), emulated_insn::none); // RMPCHKD
    EXPECT_EQ(match_insn(bytes{0xf3, 0x0f, 0x01, 0xfd}), emulated_insn::rmpquery);
    EXPECT_EQ(match_insn(bytes{0xf3, 0x0f, 0x01, 0xfe}), emulated_insn::rmpadjust);
    EXPECT_EQ(match_insn(bytes{0xf2, 0x0f, 0x01, 0xff}), emulated_insn::pvalidate);
    EXPECT_EQ(match_insn(bytes{0x0f, 0x01, 0xd9}), emulated_insn::none); // VMMCALL
    EXPECT_EQ(match_insn(bytes{0xf3, 0x0f, 0x01, 0xd9}), emulated_insn::vmgexit);
}

TEST(insn_match, does_not_take_locked_instructions)
{
    EXPECT_EQ(match_insn(bytes{0xf0, 0x0f, 0xa2}), emulated_insn::none);
    EXPECT_EQ(match_insn(bytes{0xf0, 0xf2, 0x0f, 0x01, 0xfc}), emulated_insn::none);
    EXPECT_EQ(match_insn(bytes{0xf2, 0xf0, 0x0f, 0x01, 0xfc}), emulated_insn::none);
}

TEST(insn_match, control_registers_have_their_operands_in_the_last_byte)
{
    const auto operands = [](const bytes &code) {
        const mov_cr_operands o = operands_of_mov_cr(code);
        return std::pair<unsigned, unsigned>{o.cr, o.general};
    };
    using pair = std::pair<unsigned, unsigned>;
    EXPECT_EQ(match_insn(bytes{0x0f, 0x22, 0xd8}), emulated_insn::mov_to_cr);
    EXPECT_EQ(match_insn(bytes{0x0f, 0x20, 0xd8}), emulated_insn::mov_from_cr);
    EXPECT_EQ(match_insn(bytes{0x44, 0x0f, 0x22, 0xc0}), emulated_insn::mov_to_cr);
    EXPECT_EQ(match_insn(bytes{0xf0, 0x0f, 0x22, 0xc0}), emulated_insn::mov_to_cr);
    EXPECT_EQ(match_insn(bytes{0x0f, 0x21, 0xd8}), emulated_insn::none); // debug registers
    EXPECT_EQ(match_insn(bytes{0x0f, 0x23, 0xd8}), emulated_insn::none);
    EXPECT_EQ(match_insn(bytes{0x0f, 0x22}), emulated_insn::none);
    for (unsigned cr = 0; cr < 16; ++cr) {
        const bool exists = cr == 0 || cr == 2 || cr == 3 || cr == 4 || cr == 8;
        const auto operands = static_cast<std::uint8_t>(0xc0 | (cr & 7) << 3);
        const auto rex = static_cast<std::uint8_t>(cr < 8 ? 0x40 : 0x44);
        EXPECT_EQ(match_insn(bytes{rex, 0x0f, 0x22, operands}),
                  exists ? emulated_insn::mov_to_cr : emulated_insn::none)
            << cr;
        EXPECT_EQ(match_insn(bytes{rex, 0x0f, 0x20, operands}),
                  exists ? emulated_insn::mov_from_cr : emulated_insn::none)
            << cr;
    }
    EXPECT_EQ(match_insn(bytes{0xf0, 0x0f, 0x22, 0xd8}), emulated_insn::none) << "CR11";
    EXPECT_EQ(operands({0x0f, 0x22, 0xd8}), (pair{3, 0}));
    EXPECT_EQ(operands({0x0f, 0x22, 0x1f}), (pair{3, 7})) << "the mode bits mean nothing";
    EXPECT_EQ(operands({0x41, 0x0f, 0x20, 0xe1}), (pair{4, 9}));
    EXPECT_EQ(operands({0x44, 0x0f, 0x22, 0xc2}), (pair{8, 2}));
    EXPECT_EQ(operands({0x45, 0x0f, 0x22, 0xc2}), (pair{8, 10}));
    EXPECT_EQ(operands({0xf0, 0x0f, 0x20, 0xc3}), (pair{8, 3}));
    EXPECT_EQ(operands({0x66, 0x0f, 0x22, 0xc3}), (pair{0, 3}));
}

TEST(insn_match, does_not_take_parts_or_more)
{
    EXPECT_EQ(match_insn(bytes{}), emulated_insn::none);
    EXPECT_EQ(match_insn(bytes{0xf2}), emulated_insn::none);
    EXPECT_EQ(match_insn(bytes{0x0f}), emulated_insn::none);
    EXPECT_EQ(match_insn(bytes{0xf2, 0x0f, 0x01}), emulated_insn::none);
    EXPECT_EQ(match_insn(bytes{0xf2, 0x0f, 0x01, 0xfc, 0x90}), emulated_insn::none);
    EXPECT_EQ(match_insn(bytes{0x0f, 0xa2, 0x90}), emulated_insn::none);
}

TEST(insn_match, does_not_take_opcodes_inside_of_operands)
{
    EXPECT_EQ(match_insn(bytes{0xb8, 0x0f, 0xa2, 0x00, 0x00}), emulated_insn::none);
    EXPECT_EQ(match_insn(bytes{0x0f, 0x01, 0x3d, 0xfc, 0, 0, 0}), emulated_insn::none);
}

class oracle
{
  public:
    explicit oracle(bool long_mode)
    {
        ZydisDecoderInit(&decoder_,
                         long_mode ? ZYDIS_MACHINE_MODE_LONG_64 : ZYDIS_MACHINE_MODE_LONG_COMPAT_32,
                         long_mode ? ZYDIS_STACK_WIDTH_64 : ZYDIS_STACK_WIDTH_32);
    }
    /// Length of the first instruction, 0 when there is none.
    std::size_t decode(std::span<const std::uint8_t> code)
    {
        const bool ok = ZYAN_SUCCESS(
            ZydisDecoderDecodeInstruction(&decoder_, nullptr, code.data(), code.size(), &insn_));
        return ok ? insn_.length : 0;
    }
    emulated_insn insn() const
    {
        switch (insn_.mnemonic) {
        case ZYDIS_MNEMONIC_CPUID:
            return emulated_insn::cpuid;
        case ZYDIS_MNEMONIC_RDMSR:
            return emulated_insn::rdmsr;
        case ZYDIS_MNEMONIC_WRMSR:
            return emulated_insn::wrmsr;
        case ZYDIS_MNEMONIC_RMPUPDATE:
            return emulated_insn::rmpupdate;
        case ZYDIS_MNEMONIC_PSMASH:
            return emulated_insn::psmash;
        case ZYDIS_MNEMONIC_VMRUN:
            return emulated_insn::vmrun;
        case ZYDIS_MNEMONIC_VMSAVE:
            return emulated_insn::vmsave;
        case ZYDIS_MNEMONIC_VMMCALL:
            return is_repeated() ? emulated_insn::vmgexit : emulated_insn::none;
        case ZYDIS_MNEMONIC_PVALIDATE:
            return emulated_insn::pvalidate;
        case ZYDIS_MNEMONIC_RMPADJUST:
            return emulated_insn::rmpadjust;
        case ZYDIS_MNEMONIC_HLT:
            return emulated_insn::hlt;
        case ZYDIS_MNEMONIC_XSAVEC:
        case ZYDIS_MNEMONIC_XSAVEC64:
            return emulated_insn::xsavec;
        case ZYDIS_MNEMONIC_XRSTOR:
        case ZYDIS_MNEMONIC_XRSTOR64:
            return emulated_insn::xrstor;
        case ZYDIS_MNEMONIC_MOV:
            return insn_.opcode_map != ZYDIS_OPCODE_MAP_0F ? emulated_insn::none
                   : insn_.opcode == 0x20                  ? emulated_insn::mov_from_cr
                   : insn_.opcode == 0x22                  ? emulated_insn::mov_to_cr
                                                           : emulated_insn::none;
        default:
            return emulated_insn::none;
        }
    }
    const char *name() const { return ZydisMnemonicGetString(insn_.mnemonic); }

  private:
    bool is_repeated() const
    {
        const auto prefixes = std::span(insn_.raw.prefixes).first(insn_.raw.prefix_count);
        return std::ranges::any_of(
            prefixes, [](const auto &p) { return p.value == 0xf2 || p.value == 0xf3; });
    }

    ZydisDecoder decoder_;
    ZydisDecodedInstruction insn_;
};

bool is_newer_than_oracle(emulated_insn i)
{
    return i == emulated_insn::rmpread || i == emulated_insn::rmpopt ||
           i == emulated_insn::rmpquery;
}

/// Instructions that begin with up to four prefixes, mostly in the neighbourhood of ours.
class random_code
{
  public:
    std::array<std::uint8_t, 15> next()
    {
        static constexpr std::array<std::uint8_t, 16> prefixes{0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
                                                               0x66, 0x67, 0xf0, 0xf2, 0xf3, 0xf2,
                                                               0xf3, 0x40, 0x48, 0x4f};
        std::array<std::uint8_t, 15> code{};
        std::ranges::generate(code, [this] { return static_cast<std::uint8_t>(random_()); });
        std::size_t n = 0;
        for (auto count = random_() % 5; count > 0; --count) {
            code[n++] = prefixes[random_() % prefixes.size()];
        }
        if (random_() % 4 != 0) {
            code[n++] = 0x0f;
        }
        static constexpr std::array<std::uint8_t, 6> second{0x01, 0x30, 0x32, 0xa2, 0xae, 0xc7};
        if (random_() % 4 != 0) {
            code[n++] = second[random_() % second.size()];
        }
        if (random_() % 2 != 0) {
            code[n] = static_cast<std::uint8_t>(0xf8 + random_() % 8);
        }
        return code;
    }

  private:
    std::mt19937 random_{20260701};
};

class any_mode : public testing::TestWithParam<bool>
{
};

TEST_P(any_mode, match_agrees_with_the_decoder)
{
    oracle decoder(GetParam());
    random_code source;
    unsigned matches = 0;
    for (unsigned i = 0; i < 300000; ++i) {
        const auto code = source.next();
        const std::size_t length = decoder.decode(code);
        if (length == 0) {
            continue;
        }
        const emulated_insn found = match_insn(std::span(code).first(length));
        if (is_newer_than_oracle(found)) {
            continue;
        }
        matches += found != emulated_insn::none ? 1 : 0;
        ASSERT_EQ(found, decoder.insn()) << decoder.name() << ::testing::PrintToString(code);
    }
    EXPECT_GT(matches, 1000u);
}

INSTANTIATE_TEST_SUITE_P(modes, any_mode, testing::Values(true, false), [](const auto &info) {
    return info.param ? std::string("code_64") : std::string("code_32");
});

TEST(insn_match, locked)
{
    const auto locked = [](std::initializer_list<std::uint8_t> code) {
        return is_locked(std::vector<std::uint8_t>(code));
    };
    EXPECT_TRUE(locked({0xf0, 0x48, 0xff, 0x07}));       // lock incq (%rdi)
    EXPECT_TRUE(locked({0x66, 0xf0, 0xff, 0x07}));       // lock incw (%rdi)
    EXPECT_TRUE(locked({0xf0, 0x48, 0x0f, 0xc7, 0x0f})); // lock cmpxchg16b (%rdi)
    EXPECT_TRUE(locked({0x48, 0x87, 0x07}));             // xchg %rax, (%rdi)
    EXPECT_FALSE(locked({0x48, 0xff, 0x07}));            // incq (%rdi)
    EXPECT_FALSE(locked({0xc6, 0x07, 0xf0}));            // movb $0xf0, (%rdi)
    EXPECT_FALSE(locked({}));
}

TEST(insn_match, repeated_string_stores)
{
    const auto kind = [](std::initializer_list<std::uint8_t> code) {
        return match_string_store(std::vector<std::uint8_t>(code));
    };
    EXPECT_EQ(kind({0xf3, 0xaa}), string_store::full_count);             // rep stosb
    EXPECT_EQ(kind({0xf3, 0x48, 0xab}), string_store::full_count);       // rep stosq
    EXPECT_EQ(kind({0xf2, 0xa4}), string_store::full_count);             // repne movsb: the same
    EXPECT_EQ(kind({0xf3, 0x6d}), string_store::full_count);             // rep insl
    EXPECT_EQ(kind({0x67, 0xf3, 0x48, 0xa5}), string_store::half_count); // rep movsq, (%esi)
    EXPECT_EQ(kind({0xf3, 0x67, 0xaa}), string_store::half_count);
    EXPECT_EQ(kind({0xaa}), string_store::none);       // stosb
    EXPECT_EQ(kind({0xf3, 0xa6}), string_store::none); // repe cmpsb
    EXPECT_EQ(kind({0xf3, 0xac}), string_store::none); // rep lodsb
    EXPECT_EQ(kind({0xf3, 0x6e}), string_store::none); // rep outsb
    EXPECT_EQ(kind({0xf3, 0x0f, 0xaa}), string_store::none);
    EXPECT_EQ(kind({0xf3}), string_store::none);
    EXPECT_EQ(kind({}), string_store::none);
}

} // namespace

} // namespace rmpopt
