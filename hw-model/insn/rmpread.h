// SPDX-License-Identifier: GPL-2.0-or-later
// RMPREAD (F2 0F 01 FD): RAX = page, RCX = where the record goes. Source: APM vol. 3.
//
// Thread-safety: takes the RMP lock for its whole duration, so it is atomic for the others.
#pragma once

#include "hw-model/insn/host_insn.h"

namespace rmpopt::hw
{

/// #UD and #GP(0) of RMPREAD, which also needs CPUID 8000_001F EAX[21].
fault rmpread_fault(const machine &m, const insn_context &ctx);

/// RMPREAD (APM vol. 3): the architectural view of the entry.
rmp_status rmpread(machine &m, spa_t spa, rmp_record &out);

} // namespace rmpopt::hw
