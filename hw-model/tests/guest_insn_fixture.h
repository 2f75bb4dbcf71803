// SPDX-License-Identifier: GPL-2.0-or-later
// A guest that executes PVALIDATE, RMPADJUST and RMPQUERY.
#pragma once

#include "hw-model/insn/guest_insn.h"
#include "rmp_check_fixture.h"

namespace rmpopt::hw
{

inline constexpr std::uint64_t gva = 0x7f0000400000; ///< 2 MB aligned
inline constexpr std::uint64_t npf_size = npf_private | rmp_error::size_mismatch;

inline void PrintTo(const guest_result &r, std::ostream *os)
{
    *os << "exception " << static_cast<unsigned>(r.exception) << std::hex << " error " << r.error
        << " EAX " << static_cast<unsigned>(r.status) << " CF " << r.cf << " RCX " << r.rcx
        << " RDX " << r.rdx << std::dec;
}

inline guest_result exception(guest_exception what, std::uint64_t error = 0)
{
    return {.exception = what, .error = error};
}
inline guest_result eax(rmp_status status)
{
    return {.status = status};
}
/// RDX of RMPADJUST.
constexpr std::uint64_t adjust(unsigned vmpl, std::uint8_t permissions, bool vmsa = false)
{
    return vmpl | std::uint64_t{permissions} << 8 | (vmsa ? rmpadjust_rdx::vmsa : 0);
}

class guest_insn_fixture : public rmp_check_fixture
{
  protected:
    static constexpr guest_operand page_4k_operand{.spa = page, .gpa = gpa_4k};
    static constexpr guest_operand page_2m_operand{
        .spa = low_2m, .gpa = gpa_2m, .large_nested = true};

    static guest_context at_vmpl(unsigned vmpl) { return {.asid = asid, .vmpl = vmpl}; }
    static rmp_entry not_accepted()
    {
        rmp_entry e = accepted();
        e.validated = false;
        return e;
    }
    void use_policy(const policy &p)
    {
        build("venice", rmp_layout::segmented, p);
        enable_snp();
    }

    guest_context ctx{.asid = asid};
};

} // namespace rmpopt::hw
