// SPDX-License-Identifier: GPL-2.0-or-later
// PSMASH (F3 0F 01 FF): RAX = 2 MB page. Source: APM vol. 3; vol. 2, 15.36.11. The caller must
// first make the checks of host_insn_fault().
//
// Thread-safety: takes the RMP lock for its whole duration, so the instruction is atomic.
#pragma once

#include "hw-model/insn/host_insn.h"

namespace rmpopt::hw
{

/// Splits an assigned 2 MB entry into 512 entries of 4 KB.
rmp_status psmash(machine &m, spa_t spa);

} // namespace rmpopt::hw
