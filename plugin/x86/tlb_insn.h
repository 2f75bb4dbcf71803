// SPDX-License-Identifier: GPL-2.0-or-later
// Instructions that drop translations from TLBs (APM vol. 2, 5.5.2). Knows nothing of QEMU.
#pragma once

#include "x86/address_form.h"

#include <optional>
#include <span>

namespace rmpopt
{

struct tlb_insn {
    enum class kind : std::uint8_t { mov_cr0, mov_cr3, mov_cr4, invlpg, invpcid, invlpga };

    kind what = kind::mov_cr0;
    std::uint8_t reg = 0;   ///< encoding order: MOV's source, INVPCID's type
    address_form address{}; ///< INVLPG's page, INVPCID's descriptor
};

/// Nothing when the bytes are another instruction.
std::optional<tlb_insn> find_tlb_insn(std::span<const std::uint8_t> code, bool code_64);

} // namespace rmpopt
