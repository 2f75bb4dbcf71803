// SPDX-License-Identifier: GPL-2.0-or-later
// Shared by the RMP instructions of the host: results, exceptions, flags, operands.
//
// Thread-safety: covers_2m() must be called with the RMP lock held; the other functions need no
// lock.
#pragma once

#include "hw-model/machine/machine.h"

#include <optional>

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

/// The context in which an instruction is executed.
struct insn_context {
    unsigned thread = 0;
    unsigned cpl = 0;
    bool long_mode = true;   ///< 64-bit mode
    bool guest_mode = false; ///< between VMRUN and #VMEXIT
};

/// The #UD or #GP(0) that RMPUPDATE or PSMASH raises before it looks at its operands. Mode and
/// SNP_EN are checked before guest mode and privilege (APM vol. 3).
fault host_insn_fault(const machine &m, const insn_context &ctx);
/// In guest mode RMPUPDATE, PSMASH and RMPREAD then do nothing but return FAIL_PERMISSION, which
/// says that the current ASID is not zero (Microsoft's reference of the intrinsics). Without a
/// value the instruction is executed.
std::optional<rmp_status> refused_in_guest(const insn_context &ctx);
/// The arithmetic flags after an RMP instruction that returns `status`: OF, SF, ZF, AF and PF as
/// after a logical operation with that result. CF does not change (APM vol. 3, PSMASH).
std::uint32_t status_flags(rmp_status status);
inline constexpr std::uint32_t status_flags_mask = 0x8d4; ///< OF SF ZF AF PF
/// The flags of status_flags_mask that RMPUPDATE and RMPREAD change.
std::uint32_t changed_flags(const machine &m);

/// The address that RMPUPDATE and RMPREAD use for `spa` in RAX: some hardware may ignore the low 12
/// bits (policy spa-align).
spa_t operand_spa(const machine &m, spa_t spa);
/// True when the RMP has entries for the whole 2 MB region.
bool covers_2m(const rmp_table &rmp, spa_t spa);

} // namespace rmpopt::hw
