// SPDX-License-Identifier: GPL-2.0-or-later
// Finds the linear addresses that an instruction writes, by decoding it with Zydis. Knows
// nothing of QEMU.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace rmpopt
{

/// The registers that addresses are made of.
struct address_registers {
    std::uint64_t gpr[16]; ///< encoding order
    std::uint64_t rip;     ///< of the instruction
    std::uint64_t fs_base;
    std::uint64_t gs_base;
    bool long_mode; ///< 64-bit mode; otherwise 32-bit code with flat segments
};

/// [address, address + bytes) may be written by the instruction.
struct store_range {
    std::uint64_t address;
    std::uint64_t bytes;
    bool is_also_read; ///< read-modify-write: doing it twice is not doing it once
};

/// All memory that one iteration of the instruction in `code` writes, implicit operands included;
/// empty when the bytes are no instruction or it writes no memory.
std::vector<store_range> written_ranges(std::span<const std::uint8_t> code,
                                        const address_registers &regs);

} // namespace rmpopt
