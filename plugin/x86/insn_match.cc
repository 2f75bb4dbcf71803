// SPDX-License-Identifier: GPL-2.0-or-later
#include "x86/insn_match.h"

#include "x86/decoder.h"

#include <algorithm>
#include <array>

namespace rmpopt
{

namespace
{

/// F2 and F3 select an instruction after 0F 01 and mean nothing to the two-byte opcodes.
enum class repeat_prefix : std::uint8_t { any, f2, f3 };

struct insn_pattern {
    emulated_insn insn;
    repeat_prefix repeat;
    std::array<std::uint8_t, 3> opcode;
    std::uint8_t opcode_bytes;
};

constexpr std::array<insn_pattern, 15> patterns{{
    {emulated_insn::cpuid, repeat_prefix::any, {0x0f, 0xa2}, 2},
    {emulated_insn::rdmsr, repeat_prefix::any, {0x0f, 0x32}, 2},
    {emulated_insn::wrmsr, repeat_prefix::any, {0x0f, 0x30}, 2},
    {emulated_insn::rmpupdate, repeat_prefix::f2, {0x0f, 0x01, 0xfe}, 3},
    {emulated_insn::psmash, repeat_prefix::f3, {0x0f, 0x01, 0xff}, 3},
    {emulated_insn::rmpread, repeat_prefix::f2, {0x0f, 0x01, 0xfd}, 3},
    {emulated_insn::rmpopt, repeat_prefix::f2, {0x0f, 0x01, 0xfc}, 3},
    {emulated_insn::vmrun, repeat_prefix::any, {0x0f, 0x01, 0xd8}, 3},
    {emulated_insn::vmsave, repeat_prefix::any, {0x0f, 0x01, 0xdb}, 3},
    {emulated_insn::pvalidate, repeat_prefix::f2, {0x0f, 0x01, 0xff}, 3},
    {emulated_insn::rmpadjust, repeat_prefix::f3, {0x0f, 0x01, 0xfe}, 3},
    {emulated_insn::rmpquery, repeat_prefix::f3, {0x0f, 0x01, 0xfd}, 3},
    {emulated_insn::vmgexit, repeat_prefix::f2, {0x0f, 0x01, 0xd9}, 3},
    {emulated_insn::vmgexit, repeat_prefix::f3, {0x0f, 0x01, 0xd9}, 3},
    {emulated_insn::hlt, repeat_prefix::any, {0xf4}, 1},
}};

/// NOPL 0x4f504d52(%rax,%rax,1): in this very form.
constexpr std::array<std::uint8_t, 8> marker_bytes{0x0f, 0x1f, 0x84, 0x00, 0x52, 0x4d, 0x50, 0x4f};

constexpr bool is_other_prefix(std::uint8_t b)
{
    // In 32-bit code the bytes of REX are instructions of their own, so they cannot come before one
    // of ours.
    return is_size_or_segment_prefix(b) || is_rex_prefix(b);
}

/// Splits an instruction into the last repeat prefix and the bytes from the opcode on. A LOCK
/// prefix stays in front of the opcode: none of ours allows it.
std::span<const std::uint8_t> skip_prefixes(std::span<const std::uint8_t> bytes,
                                            repeat_prefix &repeat)
{
    while (!bytes.empty()) {
        const std::uint8_t b = bytes.front();
        if (is_repeat_prefix(b)) {
            repeat = b == prefix::f2 ? repeat_prefix::f2 : repeat_prefix::f3;
        } else if (!is_other_prefix(b)) {
            break;
        }
        bytes = bytes.subspan(1);
    }
    return bytes;
}

/// XSAVEC and XRSTOR (0F C7 /4 and 0F AE /5 with an operand in memory).
emulated_insn match_xsave(std::span<const std::uint8_t> prefixes,
                          std::span<const std::uint8_t> opcode)
{
    constexpr std::uint8_t group9 = 0xc7, group15 = 0xae;
    // These three select other instructions of the groups.
    const bool selects = std::ranges::any_of(
        prefixes, [](std::uint8_t b) { return b == prefix::operand_size || is_repeat_prefix(b); });
    if (selects || opcode.size() < 3 || opcode[0] != 0x0f || opcode[2] >> 6 == 3) {
        return emulated_insn::none;
    }
    const unsigned reg = opcode[2] >> 3 & 7;
    return opcode[1] == group9 && reg == 4    ? emulated_insn::xsavec
           : opcode[1] == group15 && reg == 5 ? emulated_insn::xrstor
                                              : emulated_insn::none;
}

constexpr std::array<std::uint8_t, 6> string_stores{0xa4, 0xa5, 0xaa, 0xab, 0x6c, 0x6d};

} // namespace

string_store match_string_store(std::span<const std::uint8_t> bytes)
{
    auto repeat = repeat_prefix::any;
    const auto opcode = skip_prefixes(bytes, repeat);
    if (repeat == repeat_prefix::any || opcode.size() != 1 ||
        std::ranges::find(string_stores, opcode.front()) == string_stores.end()) {
        return string_store::none;
    }
    const auto prefixes = bytes.first(bytes.size() - opcode.size());
    return std::ranges::find(prefixes, prefix::address_size) == prefixes.end()
               ? string_store::full_count
               : string_store::half_count;
}

bool is_locked(std::span<const std::uint8_t> bytes)
{
    constexpr std::uint8_t xchg_byte = 0x86, xchg = 0x87;
    auto repeat = repeat_prefix::any;
    const auto opcode = skip_prefixes(bytes, repeat);
    return !opcode.empty() && (opcode.front() == prefix::lock || opcode.front() == xchg_byte ||
                               opcode.front() == xchg);
}

mov_cr_operands operands_of_mov_cr(std::span<const std::uint8_t> bytes)
{
    constexpr std::uint8_t rex_b = 1, rex_r = 4;
    auto repeat = repeat_prefix::any;
    const auto opcode = skip_prefixes(bytes, repeat);
    const auto prefixes = bytes.first(bytes.size() - opcode.size());
    const std::uint8_t rex =
        !prefixes.empty() && is_rex_prefix(prefixes.back()) ? prefixes.back() : std::uint8_t{0};
    const bool high = opcode.front() == prefix::lock || (rex & rex_r) != 0;
    const std::uint8_t operands = bytes.back();
    return {.cr = static_cast<std::uint8_t>((operands >> 3 & 7) | (high ? 8 : 0)),
            .general = static_cast<std::uint8_t>((operands & 7) | ((rex & rex_b) != 0 ? 8 : 0))};
}

namespace
{

bool is_control_register(unsigned number)
{
    return number == 0 || (number >= 2 && number <= 4) || number == 8;
}

/// MOV to and from the control registers that exist: the byte after the opcode has both operands.
emulated_insn match_mov_cr(std::span<const std::uint8_t> bytes,
                           std::span<const std::uint8_t> opcode)
{
    const bool locked = !opcode.empty() && opcode.front() == prefix::lock; // CR8 of 32-bit code
    const auto code = opcode.subspan(locked ? 1 : 0);
    if (code.size() != 3 || code[0] != 0x0f || (code[1] != 0x20 && code[1] != 0x22) ||
        !is_control_register(operands_of_mov_cr(bytes).cr)) {
        return emulated_insn::none;
    }
    return code[1] == 0x22 ? emulated_insn::mov_to_cr : emulated_insn::mov_from_cr;
}

} // namespace

emulated_insn match_insn(std::span<const std::uint8_t> bytes)
{
    auto repeat = repeat_prefix::any;
    const auto opcode = skip_prefixes(bytes, repeat);
    for (const insn_pattern &p : patterns) {
        if ((p.repeat == repeat_prefix::any || p.repeat == repeat) &&
            std::ranges::equal(std::span(p.opcode).first(p.opcode_bytes), opcode)) {
            return p.insn;
        }
    }
    if (std::ranges::equal(bytes, marker_bytes)) {
        return emulated_insn::marker;
    }
    const auto mov = match_mov_cr(bytes, opcode);
    return mov != emulated_insn::none
               ? mov
               : match_xsave(bytes.first(bytes.size() - opcode.size()), opcode);
}

} // namespace rmpopt
