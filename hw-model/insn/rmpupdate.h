// SPDX-License-Identifier: GPL-2.0-or-later
// RMPUPDATE (F2 0F 01 FE): RAX = page, RCX = 16-byte record. Source: APM vol. 3. The caller must
// first make the checks of host_insn_fault() and read the record from memory.
//
// Thread-safety: takes the RMP lock for its whole duration, so the instruction is atomic.
#pragma once

#include "hw-model/insn/host_insn.h"

namespace rmpopt::hw
{

/// Executes RMPUPDATE. Clears the region's RMPOPT bit on all cores before it returns.
rmp_status rmpupdate(machine &m, spa_t spa, const rmp_record &record, rmp_changes &changes);

} // namespace rmpopt::hw
