// SPDX-License-Identifier: GPL-2.0-or-later
// PVALIDATE (F2 0F 01 FF): RAX = guest address, ECX = size, EDX[0] = validate or rescind.
#include "hw-model/insn/guest_page.h"

namespace rmpopt::hw
{

namespace
{

guest_result do_pvalidate(machine &m, const guest_context &ctx, const guest_registers &r,
                          const guest_operand &operand)
{
    const bool size_2m = (r.rcx & 1) != 0;
    guest_page page = find_guest_page(m, ctx, operand, size_2m);
    if (page.refusal.has_value()) {
        return *page.refusal;
    }
    const bool validate = (r.rdx & 1) != 0;
    if (page.entry.validated == validate) { // CF: nothing was changed
        return {.cf = true};
    }
    page.entry.validated = validate;
    m.rmp().store(page.slot, page.entry);
    m.recode_page(ctx.asid, page.slot, page.entry.size_2m ? page_2m : page_4k);
    return {};
}

} // namespace

guest_result pvalidate(machine &m, const guest_context &ctx, const guest_registers &r,
                       const guest_operand &page)
{
    const std::scoped_lock lock(m.rmp_lock());
    const auto refusal = before_translation(m, guest_insn::pvalidate, ctx, r);
    return refusal.has_value() ? *refusal : do_pvalidate(m, ctx, r, page);
}

} // namespace rmpopt::hw
