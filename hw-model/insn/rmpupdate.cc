// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/insn/rmpupdate.h"

namespace rmpopt::hw
{

namespace
{

/// The rules about the operands alone (APM vol. 3, RMPUPDATE). The result for an ASID that is too
/// large for an entry is not documented; policy `asid-high`.
bool bad_input(const machine &m, spa_t spa, const rmp_record &r)
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
    if (r.asid >= rmp_entry::asid_limit && m.choices().asid_high == choice::asid_high::fail_input) {
        return true;
    }
    return r.size_2m ? !covers_2m(m.rmp(), spa) : !m.rmp().covers(spa);
}

/// True when any page of the 2 MB region except its first is immutable.
bool later_page_immutable(const rmp_table &rmp, spa_t base)
{
    for (spa_t p = base + page_4k; p != base + page_2m; p += page_4k) {
        if (rmp.load(p).immutable) {
            return true;
        }
    }
    return false;
}

/// A 4 KB update must not hit an assigned 2 MB page, nor a 2 MB update an assigned 4 KB page (APM
/// vol. 3, RMPUPDATE, as quoted on LKML, 2021-07-17). The status for a 4 KB update of any but the
/// first page of an assigned 2 MB page is not documented; policy `overlap-in-2m`.
rmp_status check_overlap(const machine &m, spa_t spa, bool size_2m)
{
    const rmp_entry base = m.rmp().load(align_down(spa, page_2m));
    const bool base_is_2m = base.assigned && base.size_2m;
    if (size_2m) {
        const bool has_4k = !base_is_2m && (base.assigned || base.subpage_count != 0);
        return has_4k ? rmp_status::fail_overlap : rmp_status::success;
    }
    if (!base_is_2m) {
        return rmp_status::success;
    }
    const bool at_base = is_aligned(spa, page_2m);
    return at_base || m.choices().overlap_in_2m == choice::overlap_in_2m::fail_overlap
               ? rmp_status::fail_overlap
               : rmp_status::fail_permission;
}

/// The rules about the entries that the update would write: none may be immutable or overlap.
rmp_status check_entries(const machine &m, spa_t spa, bool size_2m)
{
    const bool first = m.rmp().load(spa).immutable;
    const bool later = size_2m && later_page_immutable(m.rmp(), spa);
    if (first ||
        (later && m.choices().immutable_in_2m == choice::immutable_in_2m::fail_permission)) {
        return rmp_status::fail_permission;
    }
    const rmp_status overlap = check_overlap(m, spa, size_2m);
    return overlap == rmp_status::success && later ? rmp_status::fail_permission : overlap;
}

/// All rules of RMPUPDATE, in order. APM vol. 2, 15.36.12 has the rule that pages of running guests
/// are refused, but not its place in that order; policy `inuse-order`.
rmp_status check_rmpupdate(const machine &m, spa_t spa, const rmp_record &r)
{
    if (bad_input(m, spa, r)) {
        return rmp_status::fail_input;
    }
    const bool in_use = m.page_in_use(spa, r.size_2m ? page_2m : page_4k);
    if (in_use && m.choices().inuse_order == choice::inuse_order::first) {
        return rmp_status::fail_inuse;
    }
    const rmp_status s = check_entries(m, spa, r.size_2m);
    return s == rmp_status::success && in_use ? rmp_status::fail_inuse : s;
}

/// The entry that results from writing record `r` over the entry `old`. Validated, VMSA and the
/// VMPL permissions are kept only if nothing else changes (APM vol. 2, 15.36.6 and 15.36.7).
rmp_entry updated(const machine &m, const rmp_entry &old, const rmp_record &r)
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
    e.asid = static_cast<std::uint16_t>(r.asid % rmp_entry::asid_limit);
    e.gpa = align_down(r.gpa, page_4k) & ((1ull << m.cpu().gpa_bits) - 1);
    const bool same = old.assigned && old.asid == e.asid && old.gpa == e.gpa &&
                      old.size_2m == e.size_2m && e.asid != 0;
    if (!same || m.choices().same_update == choice::same_update::clear) {
        e.validated = false;
        e.vmsa = false;
        e.vmpl = {vmpl_perm::all, 0, 0, 0};
    }
    return e;
}

rmp_status do_rmpupdate(machine &m, spa_t rax, const rmp_record &record, rmp_changes &changes)
{
    const spa_t spa = operand_spa(m, rax);
    const rmp_status s =
        m.meets_other_update(spa) ? rmp_status::fail_overlap : check_rmpupdate(m, spa, record);
    if (s == rmp_status::success) {
        m.replace_entry(spa, updated(m, m.rmp().load(spa), record), changes);
    }
    return s;
}

} // namespace

rmp_status rmpupdate(machine &m, spa_t spa, const rmp_record &record, rmp_changes &changes)
{
    const std::scoped_lock lock(m.rmp_lock());
    const rmp_status s = do_rmpupdate(m, spa, record, changes);
    count(s == rmp_status::success ? m.counters().rmpupdate : m.counters().rmpupdate_failed);
    return s;
}

} // namespace rmpopt::hw
