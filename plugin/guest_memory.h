// SPDX-License-Identifier: GPL-2.0-or-later
// Memory operands of emulated instructions: supervisor accesses through the guest's page tables.
#pragma once

#include "context.h"

#include <span>

namespace rmpopt
{

/// A #PF that an operand access would raise.
struct operand_fault {
    bool happened = false;
    std::uint64_t address = 0; ///< CR2
    std::uint32_t error_code = 0;
    bool is_rmp = false; ///< refused by the RMP; error_code is deliver_rmp_fault()'s
};

/// Reads all of `to` at linear address `va` of the current vCPU, or nothing.
operand_fault read_operand(std::uint64_t va, std::span<std::byte> to);

/// Writes all of `from`, or nothing. The RMP is checked as for any write of the host.
operand_fault write_operand(context &ctx, std::uint64_t va, std::span<const std::byte> from);

} // namespace rmpopt
