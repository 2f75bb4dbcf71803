// SPDX-License-Identifier: GPL-2.0-or-later
// Memory operands of emulated instructions: supervisor accesses through the guest's page tables.
#pragma once

#include "emulation.h"
#include "qemu/tlb_fill.h"

#include <span>

namespace rmpopt
{

/// The exception that an operand access raises.
struct operand_fault {
    enum class kind : std::uint8_t { none, general_protection, page_fault, rmp, rmp_walk };

    kind what = kind::none;
    std::uint64_t address = 0; ///< CR2
    std::uint32_t error_code = 0;
    translation::access access = translation::access::read; ///< rmp_walk: what was walked for
    hw::spa_t table = 0; ///< rmp_walk: the entry that the page walk must not mark
};

/// Reads all of `to` at linear address `va` of the current vCPU, or nothing. After synchronise().
operand_fault read_operand(const context &ctx, const vcpu &cpu, std::uint64_t va,
                           std::span<std::byte> to);

/// Writes all of `from`, or nothing. The RMP is checked as for any write of the host. After
/// synchronise().
operand_fault write_operand(const context &ctx, const vcpu &cpu, std::uint64_t va,
                            std::span<const std::byte> from);

} // namespace rmpopt
