// SPDX-License-Identifier: GPL-2.0-or-later
// The RMP instructions of SNP guests: PVALIDATE, RMPADJUST, RMPQUERY. Sources: APM vol. 2, 15.36.6
// (validation), 15.36.7 (VMPL), 15.36.10 (faults); APM vol. 3 as far as Linux and Microsoft's
// documentation of the intrinsics repeat it.
//
// An instruction first makes the checks that need no translation (before_translation()). Only then
// does the CPU translate RAX, which may raise #PF or an ordinary #NPF; that is the caller's part.
// Then the function of the instruction checks the page. status_flags() gives the flags other than
// CF for the EAX returned.
//
// Thread-safety: each function takes the RMP lock for its whole duration, so each instruction is
// atomic.
#pragma once

#include "hw-model/insn/host_insn.h"

#include <optional>

namespace rmpopt::hw
{

enum class guest_insn : std::uint8_t { pvalidate, rmpadjust, rmpquery };

/// The guest that executes the instruction. `vmpl` is 0..3; `asid` is not 0 for an SNP guest.
struct guest_context {
    unsigned thread = 0;
    unsigned cpl = 0;
    bool long_mode = true; ///< 64-bit mode
    bool snp_guest = true; ///< SNP is active for the guest
    bool rmpquery = true;  ///< CPUID 8000_001F EAX[6]
    std::uint32_t asid = 0;
    unsigned vmpl = 0;
};

/// RAX: guest virtual address. RCX: size, 0 = 4 KB, 1 = 2 MB; PVALIDATE uses ECX only, RMPQUERY
/// does not use it. RDX: bit 0 is PVALIDATE's validate bit; for the others see rmpadjust_rdx.
struct guest_registers {
    std::uint64_t rax = 0, rcx = 0, rdx = 0;
};

/// Layout of RDX for RMPADJUST, and for RMPQUERY as input and output.
namespace rmpadjust_rdx
{
constexpr unsigned vmpl(std::uint64_t rdx)
{
    return rdx & 0xff;
}
constexpr std::uint8_t permissions(std::uint64_t rdx)
{
    return static_cast<std::uint8_t>(rdx >> 8);
}
inline constexpr std::uint64_t vmsa = 1ull << 16;
} // namespace rmpadjust_rdx

/// What RAX translates to.
struct guest_operand {
    spa_t spa = 0;
    std::uint64_t gpa = 0;     ///< without C-bit
    bool large_nested = false; ///< mapped by the host as 2 MB or 1 GB
    bool encrypted = true;     ///< C-bit of the guest's own mapping
};

enum class guest_exception : std::uint8_t {
    none,
    ud,
    gp0,
    vc,  ///< #VC in the guest; `error` is its code
    npf, ///< #VMEXIT(NPF); `error` is to be OR-ed into EXITINFO1
};

/// If there is an exception, only `exception` and `error` are valid and no register changes.
struct guest_result {
    guest_exception exception = guest_exception::none;
    std::uint64_t error = 0;
    rmp_status status = rmp_status::success; ///< EAX
    bool cf = false;                         ///< PVALIDATE: the entry already had that state
    std::uint64_t rcx = 0, rdx = 0;          ///< RMPQUERY, when successful

    bool operator==(const guest_result &) const = default;
};

/// Checks the rules that need no translation: exceptions, FAIL_INPUT, FAIL_PERMISSION, in this
/// order. Returns nothing when all pass and the operand is to be translated.
std::optional<guest_result> before_translation(const machine &m, guest_insn insn,
                                               const guest_context &ctx, const guest_registers &r);

// Each of these is the whole instruction, including before_translation().

/// PVALIDATE: changes the validated bit of the page's entry.
guest_result pvalidate(machine &m, const guest_context &ctx, const guest_registers &r,
                       const guest_operand &page);
/// RMPADJUST: sets the permissions of a less privileged VMPL and, executed by VMPL 0, the VMSA bit.
guest_result rmpadjust(machine &m, const guest_context &ctx, const guest_registers &r,
                       const guest_operand &page);
/// RMPQUERY: size, permissions of a less privileged VMPL and VMSA bit. Changes nothing.
guest_result rmpquery(machine &m, const guest_context &ctx, const guest_registers &r,
                      const guest_operand &page);

} // namespace rmpopt::hw
