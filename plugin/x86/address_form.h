// SPDX-License-Identifier: GPL-2.0-or-later
// The formula of a memory operand's address, decoded once for all executions of an instruction.
// Knows nothing of QEMU.
#pragma once

#include <cstdint>
#include <Zydis/Zydis.h>

namespace rmpopt
{

/// How to compute the address: base + index * scale + displacement, in `address_bytes`.
struct address_form {
    static constexpr std::uint8_t no_register = 0xff;

    std::uint8_t base = no_register; ///< encoding order
    std::uint8_t index = no_register;
    std::uint8_t scale = 0;
    std::uint8_t address_bytes = 8;
    enum class segment : std::uint8_t { none, fs, gs } segment = segment::none;
    bool rip_relative = false; ///< to the next instruction
    std::int64_t displacement = 0;
};

/// Of a memory operand of `insn`.
address_form form_of(const ZydisDecodedInstruction &insn, const ZydisDecodedOperand &op);

} // namespace rmpopt
