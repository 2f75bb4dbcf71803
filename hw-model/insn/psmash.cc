// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/insn/psmash.h"

namespace rmpopt::hw
{

namespace
{

rmp_status do_psmash(machine &m, spa_t spa)
{
    const rmp_table &rmp = m.rmp();
    if (!is_aligned(spa, page_2m) || !covers_2m(rmp, spa)) {
        return rmp_status::fail_input;
    }
    if (m.page_in_use(spa, page_2m)) { // APM vol. 2, 15.36.12
        return rmp_status::fail_inuse;
    }
    rmp_entry e = rmp.load(spa);
    if (!e.assigned || e.immutable || !e.size_2m) {
        return m.choices().psmash_kind == choice::psmash_kind::fail_permission
                   ? rmp_status::fail_permission
                   : rmp_status::fail_badaddr;
    }
    e.size_2m = false;
    for (unsigned i = 1; i < pages_per_2m; ++i) {
        rmp_entry part = e;
        part.gpa = e.gpa + i * page_4k;
        rmp.store(spa + i * page_4k, part);
    }
    e.subpage_count = pages_per_2m - 1;
    rmp.store(spa, e);
    m.clear_rmpopt_bit(spa);
    return rmp_status::success;
}

} // namespace

rmp_status psmash(machine &m, spa_t spa)
{
    const std::scoped_lock lock(m.rmp_lock());
    const rmp_status s = do_psmash(m, spa);
    count(s == rmp_status::success ? m.counters().psmash : m.counters().psmash_failed);
    return s;
}

} // namespace rmpopt::hw
