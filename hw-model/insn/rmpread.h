// SPDX-License-Identifier: GPL-2.0-or-later
// RMPREAD (F2 0F 01 FD): RAX = page, RCX = where the record goes. Source: APM vol. 3.
//
// Thread-safety: rmpread() takes the RMP lock for its whole duration, so the instruction is atomic.
#pragma once

#include "hw-model/insn/host_insn.h"

namespace rmpopt::hw
{

/// The #UD or #GP(0) that RMPREAD raises before it looks at its operands: as for host_insn_fault(),
/// and #UD without CPUID 8000_001F EAX[21].
fault rmpread_fault(const machine &m, const insn_context &ctx);

/// Reads the entry of `spa` in its architectural format.
rmp_status rmpread(machine &m, spa_t spa, rmp_record &out);

} // namespace rmpopt::hw
