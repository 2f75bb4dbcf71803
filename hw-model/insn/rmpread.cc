// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/insn/rmpread.h"

namespace rmpopt::hw
{

fault rmpread_fault(const machine &m, const insn_context &ctx)
{
    return m.cpu().rmpread ? host_insn_fault(m, ctx) : fault::ud;
}

rmp_status rmpread(machine &m, spa_t rax, rmp_record &out)
{
    const std::scoped_lock lock(m.rmp_lock());
    count(m.counters().rmpread);
    const spa_t spa = operand_spa(m, rax);
    if (!is_aligned(spa, page_4k) || !m.rmp().covers(spa)) {
        return rmp_status::fail_input;
    }
    const rmp_entry e = m.rmp().load(spa);
    out = {.gpa = e.gpa,
           .assigned = e.assigned,
           .size_2m = e.size_2m,
           .hpage_region_status = is_aligned(spa, page_2m) && e.subpage_count != 0,
           .immutable = e.immutable,
           .asid = e.asid};
    return rmp_status::success;
}

} // namespace rmpopt::hw
