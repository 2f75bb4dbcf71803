// SPDX-License-Identifier: GPL-2.0-or-later
// The checks that PVALIDATE, RMPADJUST and RMPQUERY make before they translate their operand.
#include "hw-model/insn/guest_page.h"

namespace rmpopt::hw
{

namespace
{

/// True when the feature or the mode rules the instruction out. Only PVALIDATE exists outside
/// 64-bit mode.
bool is_undefined(guest_insn insn, const guest_context &ctx)
{
    return (insn != guest_insn::pvalidate && !ctx.long_mode) ||
           (insn == guest_insn::rmpquery && !ctx.rmpquery);
}

std::optional<guest_result> check_context(const machine &m, guest_insn insn,
                                          const guest_context &ctx)
{
    if (is_undefined(insn, ctx)) {
        return raised(guest_exception::ud);
    }
    if (!ctx.snp_guest || !m.snp_enabled(ctx.thread)) { // no guest is SNP-active without SNP_EN
        return raised(m.choices().not_snp_guest == choice::not_snp_guest::gp ? guest_exception::gp0
                                                                             : guest_exception::ud);
    }
    if (ctx.cpl != 0) {
        return raised(guest_exception::gp0);
    }
    if (insn == guest_insn::pvalidate && ctx.vmpl != 0 &&
        m.choices().pvalidate_vmpl == choice::pvalidate_vmpl::gp) {
        return raised(guest_exception::gp0);
    }
    return std::nullopt;
}

bool is_bad_input(const machine &m, guest_insn insn, const guest_registers &r)
{
    if (insn == guest_insn::rmpquery) {
        return !is_aligned(r.rax, page_4k) || rmpadjust_rdx::vmpl(r.rdx) >= vmpls;
    }
    const std::uint64_t size =
        insn == guest_insn::pvalidate ? static_cast<std::uint32_t>(r.rcx) : r.rcx;
    const bool any_4k = insn == guest_insn::rmpadjust && size == 0 &&
                        m.choices().rmpadjust_align == choice::rmpadjust_align::ignore;
    if (size > 1 || (!any_4k && !is_aligned(r.rax, size == 1 ? page_2m : page_4k))) {
        return true;
    }
    return insn == guest_insn::rmpadjust && rmpadjust_rdx::vmpl(r.rdx) >= vmpls;
}

/// Only VMPL 0 may execute PVALIDATE. The other instructions may name only a numerically higher,
/// less privileged VMPL than the current one.
bool is_forbidden(const machine &m, guest_insn insn, const guest_context &ctx,
                  const guest_registers &r)
{
    const bool is_below = rmpadjust_rdx::vmpl(r.rdx) > ctx.vmpl;
    switch (insn) {
    case guest_insn::pvalidate:
        return ctx.vmpl != 0;
    case guest_insn::rmpadjust:
        return !is_below;
    case guest_insn::rmpquery:
        return !is_below && m.choices().rmpquery_vmpl == choice::rmpquery_vmpl::fail_permission;
    }
    return false;
}

} // namespace

std::optional<guest_result> before_translation(const machine &m, guest_insn insn,
                                               const guest_context &ctx, const guest_registers &r)
{
    if (const auto refusal = check_context(m, insn, ctx)) {
        return refusal;
    }
    if (is_bad_input(m, insn, r)) {
        return failed(rmp_status::fail_input);
    }
    if (is_forbidden(m, insn, ctx, r)) {
        return failed(rmp_status::fail_permission);
    }
    return std::nullopt;
}

} // namespace rmpopt::hw
