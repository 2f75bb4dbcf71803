// SPDX-License-Identifier: GPL-2.0-or-later
// Accesses the memory operands of emulated instructions: as a supervisor, through the guest's page
// tables, with the faults that hardware would raise.
#pragma once

#include "hw-model/access/rmp_check.h"
#include "qemu/tlb_fill.h"

#include <span>

namespace rmpopt
{

/// The exception that an operand access raises.
struct operand_fault {
    enum class kind : std::uint8_t { none, general_protection, page_fault, rmp, rmp_walk };

    kind what = kind::none;
    std::uint64_t address = 0;                              ///< CR2
    std::uint32_t error_code = 0;                           ///< without the bits of the verdict
    translation::access access = translation::access::read; ///< rmp_walk: the access walked for
    hw::spa_t spa = 0; ///< rmp: the page; rmp_walk: the table entry that must not be updated
    hw::rmp_verdict verdict{}; ///< rmp, rmp_walk: why the RMP forbids the write
};

/// Reads all of `to` from linear address `va` of the current vCPU, or nothing. To be called after
/// synchronise().
operand_fault read_operand(const hw::memory_view &memory, const vcpu &cpu, std::uint64_t va,
                           std::span<std::byte> to);

/// Writes all of `from`, or nothing. The RMP is checked as for any other write by the host. To be
/// called after synchronise().
operand_fault write_operand(const hw::memory_view &memory, const vcpu &cpu, std::uint64_t va,
                            std::span<const std::byte> from);

} // namespace rmpopt
