// SPDX-License-Identifier: GPL-2.0-or-later
// Zydis, set up once for each mode. Also the prefixes that several files skip by hand, because for
// most instructions a look at the opcode is enough.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <Zydis/Zydis.h>

namespace rmpopt
{

/// Bytes of the longest x86 instruction (APM vol. 3, 1.1).
inline constexpr std::size_t longest_instruction = 15;

namespace prefix
{
inline constexpr std::uint8_t operand_size = 0x66, address_size = 0x67, lock = 0xf0, f2 = 0xf2,
                              f3 = 0xf3;
} // namespace prefix

constexpr bool is_size_or_segment_prefix(std::uint8_t b)
{
    return b == prefix::operand_size || b == prefix::address_size || b == 0x26 || b == 0x2e ||
           b == 0x36 || b == 0x3e || b == 0x64 || b == 0x65;
}

constexpr bool is_repeat_prefix(std::uint8_t b)
{
    return b == prefix::f2 || b == prefix::f3;
}

/// In 64-bit mode; in other code these are instructions of their own.
constexpr bool is_rex_prefix(std::uint8_t b)
{
    return (b & 0xf0) == 0x40;
}

struct decoded_insn {
    ZydisDecodedInstruction insn;
    std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operand;

    std::span<const ZydisDecodedOperand> operands() const
    {
        return std::span(operand).first(insn.operand_count);
    }
};

/// Decodes the first instruction of `code`, of 64-bit mode or of 32-bit code. False when it is none
/// or reaches beyond `code`; then `out` is undefined. Any thread.
bool decode(std::span<const std::uint8_t> code, bool code_64, decoded_insn &out);

} // namespace rmpopt
