// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/rmp_ops.h"

namespace rmpopt::hw
{

namespace
{

/// All of the 2 MB region has entries.
bool covers_2m(const rmp_table &rmp, spa_t spa)
{
    return rmp.covers(spa) && rmp.covers(spa + page_2m - page_4k);
}

/// Rules on the operands alone (APM vol. 3, RMPUPDATE). What an ASID does that no entry can hold is
/// not documented; cut to the entry's width it could turn into the secure processor's.
bool bad_input(const rmp_table &rmp, spa_t spa, const rmp_record &r)
{
    if (!is_aligned(spa, page_4k)) {
        return true;
    }
    if (r.size_2m && !is_aligned(spa, page_2m)) {
        return true;
    }
    if (!r.assigned && (r.immutable || r.asid != 0)) {
        return true;
    }
    if (r.asid >= rmp_entry::asid_limit) {
        return true;
    }
    return r.size_2m ? !covers_2m(rmp, spa) : !rmp.covers(spa);
}

/// No entry that the update would write is immutable.
bool touches_immutable(const rmp_table &rmp, spa_t spa, bool size_2m)
{
    const unsigned pages = size_2m ? pages_per_2m : 1;
    for (unsigned i = 0; i < pages; ++i) {
        if (rmp.load(spa + i * page_4k).immutable) {
            return true;
        }
    }
    return false;
}

/// A 4 KB update must not hit an assigned 2 MB page; a 2 MB update no assigned 4 KB page.
bool overlaps(const rmp_table &rmp, spa_t spa, bool size_2m)
{
    const rmp_entry base = rmp.load(align_down(spa, page_2m));
    const bool base_is_2m = base.assigned && base.size_2m;
    if (!size_2m) {
        return base_is_2m;
    }
    return !base_is_2m && (base.assigned || base.subpage_count != 0);
}

/// The entry that a record makes out of an old one. Validated, VMSA and the VMPL permissions
/// survive only when nothing else changes (APM vol. 2, 15.36.6 and 15.36.7).
rmp_entry updated(const rmp_entry &old, const rmp_record &r)
{
    if (!r.assigned) {
        rmp_entry none;
        none.size_2m = r.size_2m;
        return none;
    }
    rmp_entry e = old;
    e.assigned = true;
    e.size_2m = r.size_2m;
    e.immutable = r.immutable;
    e.lock = false;
    e.asid = static_cast<std::uint16_t>(r.asid);
    e.gpa = rmp_entry::decode({.lo = r.gpa & ~(page_4k - 1), .hi = 0}).gpa;
    const bool same = old.assigned && old.asid == e.asid && old.gpa == e.gpa &&
                      old.size_2m == e.size_2m && r.asid != 0;
    if (!same) {
        e.validated = false;
        e.vmsa = false;
        e.vmpl = {vmpl_perm::all, 0, 0, 0};
    }
    return e;
}

rmp_status do_rmpupdate(machine &m, spa_t spa, const rmp_record &record, effect_list &effects)
{
    const rmp_table &rmp = m.rmp();
    if (bad_input(rmp, spa, record)) {
        return rmp_status::fail_input;
    }
    if (touches_immutable(rmp, spa, record.size_2m)) {
        return rmp_status::fail_permission;
    }
    if (overlaps(rmp, spa, record.size_2m)) {
        return rmp_status::fail_overlap;
    }
    m.replace_entry(spa, updated(rmp.load(spa), record), effects);
    return rmp_status::success;
}

rmp_status do_psmash(machine &m, spa_t spa)
{
    const rmp_table &rmp = m.rmp();
    if (!is_aligned(spa, page_2m) || !covers_2m(rmp, spa)) {
        return rmp_status::fail_input;
    }
    rmp_entry e = rmp.load(spa);
    if (!e.assigned || e.immutable || !e.size_2m) {
        return m.choices().psmash_kind == choice::code7 ? rmp_status::fail_badaddr
                                                        : rmp_status::fail_permission;
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

fault host_insn_fault(const machine &m, const insn_context &ctx)
{
    if (!ctx.long_mode || !m.snp_enabled(ctx.thread)) {
        return fault::ud;
    }
    return ctx.cpl != 0 ? fault::gp0 : fault::none;
}

fault rmpread_fault(const machine &m, const insn_context &ctx)
{
    return m.cpu().rmpread ? host_insn_fault(m, ctx) : fault::ud;
}

rmp_status rmpupdate(machine &m, spa_t spa, const rmp_record &record, effect_list &effects)
{
    const std::scoped_lock lock(m.rmp_lock());
    const rmp_status s = do_rmpupdate(m, spa, record, effects);
    count(s == rmp_status::success ? m.counters().rmpupdate : m.counters().rmpupdate_failed);
    return s;
}

rmp_status psmash(machine &m, spa_t spa)
{
    const std::scoped_lock lock(m.rmp_lock());
    const rmp_status s = do_psmash(m, spa);
    count(s == rmp_status::success ? m.counters().psmash : m.counters().psmash_failed);
    return s;
}

rmp_status rmpread(machine &m, spa_t spa, rmp_record &out)
{
    const std::scoped_lock lock(m.rmp_lock());
    count(m.counters().rmpread);
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

std::uint32_t status_flags(rmp_status status)
{
    constexpr std::uint32_t zf = 1u << 6, pf = 1u << 2;
    const auto value = static_cast<std::uint32_t>(status);
    const bool even = __builtin_parity(value & 0xff) == 0;
    return (value == 0 ? zf : 0) | (even ? pf : 0);
}

} // namespace rmpopt::hw
