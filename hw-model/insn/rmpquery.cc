// SPDX-License-Identifier: GPL-2.0-or-later
// RMPQUERY (F3 0F 01 FD): RAX = guest address, RDX[7:0] = VMPL. Returns the page size in RCX, and
// permissions and VMSA bit in RDX, laid out as for RMPADJUST.
#include "hw-model/insn/guest_page.h"

namespace rmpopt::hw
{

namespace
{

guest_result do_rmpquery(const machine &m, const guest_context &ctx, const guest_registers &r,
                         const guest_operand &operand)
{
    const guest_page page = find_guest_page(m, ctx, operand, std::nullopt);
    if (page.refusal.has_value()) {
        return *page.refusal;
    }
    if (!page.entry.validated) {
        return not_validated();
    }
    const unsigned vmpl = rmpadjust_rdx::vmpl(r.rdx);
    guest_result result;
    result.rcx = page.entry.size_2m ? 1 : 0;
    result.rdx = vmpl | std::uint64_t{page.entry.vmpl[vmpl]} << 8 |
                 (page.entry.vmsa ? rmpadjust_rdx::vmsa : 0);
    return result;
}

} // namespace

guest_result rmpquery(machine &m, const guest_context &ctx, const guest_registers &r,
                      const guest_operand &page)
{
    const std::scoped_lock lock(m.rmp_lock());
    const auto refusal = before_translation(m, guest_insn::rmpquery, ctx, r);
    return refusal.has_value() ? *refusal : do_rmpquery(m, ctx, r, page);
}

} // namespace rmpopt::hw
