// SPDX-License-Identifier: GPL-2.0-or-later
// RMPUPDATE (F2 0F 01 FE): RAX = page, RCX = 16-byte record. Source: APM vol. 3. The caller has
// made the checks that come before (host_insn_fault) and has read the record from memory.
//
// Thread-safety: takes the RMP lock for its whole duration, so it is atomic for the others.
#pragma once

#include "hw-model/insn/host_insn.h"

namespace rmpopt::hw
{

/// RMPUPDATE (APM vol. 3). Clears the RMPOPT bit of the region on all cores before it returns.
rmp_status rmpupdate(machine &m, spa_t spa, const rmp_record &record, rmp_changes &changes);

} // namespace rmpopt::hw
