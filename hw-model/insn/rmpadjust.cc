// SPDX-License-Identifier: GPL-2.0-or-later
// RMPADJUST (F3 0F 01 FE): RAX = guest address, RCX = size, RDX = VMPL, permissions, VMSA.
#include "hw-model/insn/guest_page.h"

namespace rmpopt::hw
{

namespace
{

/// True when the VMPL would grant a permission that it does not have itself (APM vol. 2, 15.36.7).
bool gives_too_much(const rmp_entry &e, const guest_context &ctx, std::uint8_t permissions)
{
    return (permissions & ~e.vmpl[ctx.vmpl]) != 0;
}

guest_result do_rmpadjust(const machine &m, const guest_context &ctx, const guest_registers &r,
                          const guest_operand &operand)
{
    guest_page page = find_guest_page(m, ctx, operand, r.rcx == 1);
    if (page.refusal.has_value()) {
        return *page.refusal;
    }
    if (!page.entry.validated) {
        return not_validated();
    }
    const std::uint8_t permissions = rmpadjust_rdx::permissions(r.rdx);
    if (gives_too_much(page.entry, ctx, permissions)) {
        return failed(rmp_status::fail_permission);
    }
    page.entry.vmpl[rmpadjust_rdx::vmpl(r.rdx)] = permissions;
    if (ctx.vmpl == 0) { // only VMPL 0 may change the VMSA bit
        page.entry.vmsa = (r.rdx & rmpadjust_rdx::vmsa) != 0;
    }
    m.rmp().store(page.slot, page.entry);
    return {};
}

} // namespace

guest_result rmpadjust(machine &m, const guest_context &ctx, const guest_registers &r,
                       const guest_operand &page)
{
    const std::scoped_lock lock(m.rmp_lock());
    const auto refusal = before_translation(m, guest_insn::rmpadjust, ctx, r);
    return refusal.has_value() ? *refusal : do_rmpadjust(m, ctx, r, page);
}

} // namespace rmpopt::hw
