// SPDX-License-Identifier: GPL-2.0-or-later
// Finds out which emulated instruction a sequence of bytes is. Knows nothing of QEMU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace rmpopt
{

enum class emulated_insn : std::uint8_t {
    none,
    cpuid,
    rdmsr,
    wrmsr,
    rmpupdate,
    psmash,
    rmpread,
    rmpopt,
    vmrun,
    vmsave,
    hlt,
    marker,
    vmgexit,
    pvalidate,
    rmpadjust,
    rmpquery,
    mov_to_cr,
    mov_from_cr,
    xsavec,
    xrstor,
};

/// Says which emulated instruction the bytes of one whole instruction are. Of XSAVEC, which QEMU
/// does not know, only those up to ModRM need to be there.
emulated_insn match_insn(std::span<const std::uint8_t> bytes);

/// The operands of MOV to or from a control register.
struct mov_cr_operands {
    std::uint8_t cr = 0, general = 0; ///< by their numbers
};
/// `bytes` must be one of these instructions.
mov_cr_operands operands_of_mov_cr(std::span<const std::uint8_t> bytes);

enum class string_store : std::uint8_t {
    none,
    full_count, ///< as often as the whole count register of the mode says
    half_count, ///< an address size prefix halves it: ECX in 64-bit mode
};

/// REP MOVS, REP STOS, REP INS.
string_store match_string_store(std::span<const std::uint8_t> bytes);

/// True for a LOCK prefix and for XCHG, which implies one.
bool is_locked(std::span<const std::uint8_t> bytes);

} // namespace rmpopt
