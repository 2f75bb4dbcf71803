// SPDX-License-Identifier: GPL-2.0-or-later
// What the RMP instructions of the host have in common: results, exceptions, flags, operands.
//
// Thread-safety: functions that look at the RMP expect the RMP lock; the others take none.
#pragma once

#include "hw-model/machine/machine.h"

namespace rmpopt::hw
{

/// EAX after an RMP instruction (APM vol. 3; Linux; AMDSEV reports for 4).
enum class rmp_status : std::uint32_t {
    success = 0,
    fail_input = 1,
    fail_permission = 2,
    fail_inuse = 3,
    fail_overlap = 4,
    fail_sizemismatch = 6,
    fail_badaddr = 7,
};

/// Exceptions that an instruction can raise without a memory operand.
enum class fault : std::uint8_t { none, ud, gp0 };

/// Where an instruction is executed.
struct insn_context {
    unsigned thread = 0;
    unsigned cpl = 0;
    bool long_mode = true;   ///< 64-bit mode
    bool guest_mode = false; ///< between VMRUN and #VMEXIT
};

/// #UD and #GP(0) of RMPUPDATE, PSMASH: feature, mode and SNP_EN before guest mode and privilege
/// (APM vol. 3).
fault host_insn_fault(const machine &m, const insn_context &ctx);
/// Arithmetic flags that follow from EAX after PSMASH: OF, SF, ZF, AF and PF as of a logical
/// operation on the result; CF is not touched (APM vol. 3, PSMASH).
std::uint32_t status_flags(rmp_status status);
inline constexpr std::uint32_t status_flags_mask = 0x8d4; ///< OF SF ZF AF PF
/// Those of them that RMPUPDATE and RMPREAD change.
std::uint32_t changed_flags(const machine &m);

/// The address that RMPUPDATE and RMPREAD go by.
spa_t operand_spa(const machine &m, spa_t spa);
/// All of the 2 MB region has entries.
bool covers_2m(const rmp_table &rmp, spa_t spa);

} // namespace rmpopt::hw
