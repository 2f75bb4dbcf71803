// SPDX-License-Identifier: GPL-2.0-or-later
// The RMP instructions of the host: RMPUPDATE, PSMASH, RMPREAD. The caller has done the checks
// that come before any of these look at the RMP (host_insn_fault) and, for RMPUPDATE, has read the
// 16-byte record from guest memory.
//
// Thread-safety: each takes the RMP lock for its whole duration, so it is atomic for the others.
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
/// RMPREAD also needs CPUID 8000_001F EAX[21].
fault rmpread_fault(const machine &m, const insn_context &ctx);

/// RMPUPDATE (APM vol. 3). Clears the RMPOPT bit of the region on all cores before it returns.
rmp_status rmpupdate(machine &m, spa_t spa, const rmp_record &record, rmp_changes &changes);

/// PSMASH (APM vol. 3; 15.36.11): an assigned 2 MB entry becomes 512 entries of 4 KB.
rmp_status psmash(machine &m, spa_t spa);

/// RMPREAD (APM vol. 3): the architectural view of the entry.
rmp_status rmpread(machine &m, spa_t spa, rmp_record &out);

/// Arithmetic flags that follow from EAX after PSMASH: OF, SF, ZF, AF and PF as of a logical
/// operation on the result; CF is not touched (APM vol. 3, PSMASH).
std::uint32_t status_flags(rmp_status status);
inline constexpr std::uint32_t status_flags_mask = 0x8d4; ///< OF SF ZF AF PF
/// Those of them that RMPUPDATE and RMPREAD change.
std::uint32_t changed_flags(const machine &m);

} // namespace rmpopt::hw
