// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/insn/host_insn.h"

namespace rmpopt::hw
{

fault host_insn_fault(const machine &m, const insn_context &ctx)
{
    if (!ctx.long_mode || !m.snp_enabled(ctx.thread)) {
        return fault::ud;
    }
    if (ctx.guest_mode && m.choices().guest_exec == choice::guest_exec::ud) {
        return fault::ud;
    }
    return ctx.cpl != 0 ? fault::gp0 : fault::none;
}

std::optional<rmp_status> refused_in_guest(const insn_context &ctx)
{
    return ctx.guest_mode ? std::optional(rmp_status::fail_permission) : std::nullopt;
}

std::uint32_t status_flags(rmp_status status)
{
    constexpr std::uint32_t zf = 1u << 6, pf = 1u << 2;
    const auto value = static_cast<std::uint32_t>(status);
    const bool even = __builtin_parity(value & 0xff) == 0;
    return (value == 0 ? zf : 0) | (even ? pf : 0);
}

std::uint32_t changed_flags(const machine &m)
{
    return m.choices().status_flags == choice::status_flags::set ? status_flags_mask : 0;
}

spa_t operand_spa(const machine &m, spa_t spa)
{
    return m.choices().spa_align == choice::spa_align::round ? align_down(spa, page_4k) : spa;
}

bool covers_2m(const rmp_table &rmp, spa_t spa)
{
    return rmp.covers(spa) && rmp.covers(spa + page_2m - page_4k);
}

} // namespace rmpopt::hw
