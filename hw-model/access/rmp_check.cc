// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/access/rmp_check.h"

#include <array>

namespace rmpopt::hw
{

namespace
{

bool is_walk(const rmp_access &a) noexcept
{
    return a.kind == rmp_access_kind::walk_read || a.kind == rmp_access_kind::walk_write;
}

bool is_write(const rmp_access &a) noexcept
{
    return a.kind == rmp_access_kind::write || a.kind == rmp_access_kind::walk_write;
}

/// The C-bit governs data accesses; an SEV guest's fetches and page walks are private whatever it
/// says (APM vol. 2, 15.34.5).
bool is_private(const rmp_access &a) noexcept
{
    return a.who == initiator::snp_guest &&
           (a.encrypted || is_walk(a) || a.kind == rmp_access_kind::fetch);
}

/// The core's SNP_EN governs its checks (AMD, 2026-06-23), alone or from SNP_INIT on: policy
/// `checks-from`. A device has no core: SNP_INIT makes the IOMMU check, and demands SNP_EN on all
/// cores.
bool checks_are_on(const machine &m, unsigned thread, const rmp_access &a) noexcept
{
    if (m.choices().checks_from == choice::checks_from::snp_init && !m.snp_initialised()) {
        return false;
    }
    return a.who == initiator::device ? m.snp_enabled_somewhere() : m.snp_enabled(thread);
}

/// APM vol. 2, tables 15-39 and 15-41 list writes, accesses to page tables, everything private, and
/// DMA.
bool is_checked(const machine &m, const rmp_access &a) noexcept
{
    const bool table = is_walk(a) && m.choices().plain_walk_read == choice::plain_walk_read::check;
    return is_write(a) || table || is_private(a) || a.who == initiator::device;
}

/// The RMPOPT table serves writes in hypervisor mode and of non-SNP guests (AMD, RMPOPT series,
/// cover). AMD says "may": a core need not look; ours always does. Walks, DMA and SNP guests are
/// not mentioned, so they are always checked: a private access needs the entry, for its ASID and
/// GPA, and nothing says that a guest's shared writes are told apart. A set bit means that no page
/// is assigned, so that skipping changes one verdict only: pages in use, for which nothing is
/// documented, are not seen either.
bool is_skipped(const machine &m, unsigned thread, const rmp_access &a) noexcept
{
    if (a.kind != rmp_access_kind::write ||
        (a.who != initiator::host && a.who != initiator::nonsnp_guest)) {
        return false;
    }
    const rmpopt_table &table = m.core_of(thread).rmpopt;
    return table.enabled() && table.test(a.spa);
}

/// A large mapping lets one write permission reach 512 pages, so all of them count. The base entry
/// says how many of the other 511 are assigned. Accesses to page tables count as 4 KB (APM vol. 2,
/// table 15-39, about A/D updates), and so does what devices do.
bool is_checked_as_2m(const machine &m, const rmp_access &a) noexcept
{
    const bool exempt = a.who == initiator::nonsnp_guest &&
                        m.choices().plain_guest_2m == choice::plain_guest_2m::allow;
    return a.large_mapping && !is_walk(a) && a.who != initiator::device && !exempt;
}

bool has_assigned_page(const rmp_table &rmp, spa_t spa) noexcept
{
    const rmp_entry base = rmp.load(align_down(spa, page_2m));
    return base.assigned || base.subpage_count != 0;
}

/// The AVIC backing page of a running guest is not the host's to write unless CPUID 8000_001F
/// EAX[30] is set, which no CPU model has (AMD's AVIC patch for SNP hosts, 2024-11-04). Only the
/// page itself counts, whatever the size of the mapping. Writes to VMCB and VMSA may fault, too
/// (APM vol. 2, 15.36.12).
bool is_denied_in_use(const machine &m, const rmp_access &a) noexcept
{
    const spa_t page = align_down(a.spa, page_4k);
    return a.who == initiator::host && (m.page_in_use_as(page, page_use::avic_backing) ||
                                        (m.choices().inuse_write == choice::inuse_write::fault &&
                                         m.page_in_use_as(page, page_use::control)));
}

/// APM vol. 2, 15.36.7: reads and walks need the read permission, A/D updates and writes the write
/// permission, fetches that of their privilege; supervisor shadow stacks one of their own on top.
/// Write without read permission is not legal, and no access to data is allowed with it.
std::uint8_t permission_needed(const rmp_access &a) noexcept
{
    if (a.kind == rmp_access_kind::fetch) {
        return a.user ? vmpl_perm::user_exec : vmpl_perm::supervisor_exec;
    }
    const std::uint8_t data = is_write(a) ? vmpl_perm::read | vmpl_perm::write : vmpl_perm::read;
    return static_cast<std::uint8_t>(data | (a.shadow_stack && !is_walk(a) ? vmpl_perm::sss : 0));
}

std::uint8_t permissions(const rmp_entry &e, const rmp_access &a) noexcept
{
    return a.vmpl < e.vmpl.size() ? e.vmpl[a.vmpl] : 0;
}

/// What EXITINFO1 says of the access itself (APM vol. 2, 15.36.10).
std::uint64_t npf_bits(const rmp_access &a) noexcept
{
    return (is_walk(a) ? rmp_error::page_walk : rmp_error::final_access) |
           (is_private(a) ? rmp_error::encrypted : 0);
}

rmp_verdict allowed(rmp_rule rule, bool checked) noexcept
{
    return {.rule = rule, .checked = checked};
}

/// `cause` is the error bit, or bits, of the rule; the RMP bit goes with VMPL faults too.
rmp_verdict denied(const rmp_access &a, rmp_rule rule,
                   std::uint64_t cause = rmp_error::rmp) noexcept
{
    rmp_verdict v{.rule = rule, .checked = true};
    switch (a.who) {
    case initiator::host:
        v.outcome = rmp_outcome::page_fault;
        v.error_bits = cause;
        break;
    case initiator::nonsnp_guest:
    case initiator::snp_guest:
        v.outcome = rmp_outcome::nested_page_fault;
        v.error_bits = npf_bits(a) | cause;
        break;
    case initiator::device:
        v.outcome = rmp_outcome::blocked;
        break;
    }
    return v;
}

/// Accesses to what must be the hypervisor's: host and non-SNP guest writes, shared writes of SNP
/// guests, DMA. Pages without an entry are hypervisor-owned (APM vol. 2, 15.36.4).
rmp_verdict check_shared(const machine &m, const rmp_access &a) noexcept
{
    if (m.rmp().load(a.spa).assigned) {
        return denied(a, a.who == initiator::device ? rmp_rule::device_page
                                                    : rmp_rule::hypervisor_owned);
    }
    if (is_checked_as_2m(m, a) && has_assigned_page(m.rmp(), a.spa)) {
        return denied(a, rmp_rule::hypervisor_owned_2m);
    }
    if (is_denied_in_use(m, a)) {
        return denied(a, rmp_rule::page_in_use);
    }
    return allowed(rmp_rule::passed, true);
}

/// Private accesses of an SNP guest. Ownership and size come first, then validated, then VMPL (APM
/// vol. 2, 15.36.10); inside the first group all faults look alike.
rmp_verdict check_private(const machine &m, unsigned thread, const rmp_access &a) noexcept
{
    const rmp_entry e = rmp_owner(m.rmp(), a.spa);
    if (!m.rmp().covers(a.spa)) {
        return denied(a, rmp_rule::guest_covered);
    }
    if (!e.assigned || e.asid == 0) { // ASID 0 is the secure processor's: table 15-35
        return denied(a, rmp_rule::guest_assigned);
    }
    if (e.asid != a.asid) {
        return denied(a, rmp_rule::guest_asid);
    }
    if (e.gpa != align_down(a.gpa, page_4k)) {
        return denied(a, rmp_rule::guest_gpa);
    }
    if (e.immutable) {
        return denied(a, rmp_rule::guest_immutable);
    }
    if (e.size_2m != a.large_mapping) { // SIZEM stays clear: PVALIDATE and RMPADJUST only
        return denied(a, rmp_rule::guest_size);
    }
    if (!e.validated) {
        return {.outcome = rmp_outcome::vmm_communication,
                .rule = rmp_rule::guest_validated,
                .checked = true};
    }
    const std::uint8_t needed = permission_needed(a);
    const bool vmpl_en = m.core_of(thread).vmpl_en.load(std::memory_order_relaxed);
    if (vmpl_en && (permissions(e, a) & needed) != needed) {
        // Bit 37 is the SSS bit of the permission mask that failed, for guests that use it.
        const bool sss = a.vmpl_sss && (permissions(e, a) & vmpl_perm::sss) != 0;
        return denied(a, rmp_rule::guest_vmpl,
                      rmp_error::rmp | rmp_error::vmpl | (sss ? rmp_error::shadow_stack : 0));
    }
    return allowed(rmp_rule::passed, true);
}

} // namespace

std::string_view rule_name(rmp_rule rule) noexcept
{
    static constexpr std::array<std::string_view, static_cast<unsigned>(rmp_rule::passed) + 1>
        names{
            "snp-disabled",    "unchecked-access", "rmpopt-skip",         "segment-reserved-bits",
            "device-page",     "hypervisor-owned", "hypervisor-owned-2m", "page-in-use",
            "guest-covered",   "guest-assigned",   "guest-asid",          "guest-gpa",
            "guest-immutable", "guest-size",       "guest-validated",     "guest-vmpl",
            "passed",
        };
    return names[static_cast<unsigned>(rule)];
}

rmp_entry rmp_owner(const rmp_table &rmp, spa_t spa) noexcept
{
    const spa_t first = align_down(spa, page_2m);
    rmp_entry base = rmp.load(first);
    if (base.assigned && base.size_2m) {
        base.gpa += align_down(spa - first, page_4k);
        return base;
    }
    return rmp.load(spa);
}

bool reported_as_write(const machine &m, const rmp_access &a, bool for_write) noexcept
{
    if (!is_walk(a)) {
        return is_write(a);
    }
    return for_write || (is_write(a) && m.choices().walk_fault == choice::walk_fault::write);
}

rmp_lookup rmp_lookup_of(const machine &m, unsigned thread, const rmp_access &a) noexcept
{
    return !checks_are_on(m, thread, a) ? rmp_lookup::off
           : !is_checked(m, a)          ? rmp_lookup::unneeded
           : is_skipped(m, thread, a)   ? rmp_lookup::skipped
                                        : rmp_lookup::made;
}

rmp_verdict rmp_check(const machine &m, unsigned thread, const rmp_access &a) noexcept
{
    switch (rmp_lookup_of(m, thread, a)) {
    case rmp_lookup::off:
        return allowed(rmp_rule::snp_disabled, false);
    case rmp_lookup::unneeded:
        return allowed(rmp_rule::unchecked_access, false);
    case rmp_lookup::skipped:
        return {.rule = rmp_rule::rmpopt_skip, .checked = true, .skipped = true};
    case rmp_lookup::made:
        break;
    }
    // CPUs without a hard limit on segments load the entry on use, and a reserved bit in it is a
    // reserved-bit fault (APM vol. 2, 15.36.22.3). Which of its bits go with it is not documented.
    if (m.rmp().has_reserved_bits(a.spa)) {
        return denied(a, rmp_rule::segment_reserved_bits, rmp_error::reserved);
    }
    return is_private(a) ? check_private(m, thread, a) : check_shared(m, a);
}

} // namespace rmpopt::hw
