// SPDX-License-Identifier: GPL-2.0-or-later
// Which of the emulated instructions is this? Knows nothing of QEMU.
#pragma once

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
};

/// Says which emulated instruction the bytes of one whole instruction are.
emulated_insn match_insn(std::span<const std::uint8_t> bytes);

} // namespace rmpopt
