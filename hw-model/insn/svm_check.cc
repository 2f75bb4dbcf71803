// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/insn/svm_check.h"

#include "hw-model/access/rmp_check.h"

namespace rmpopt::hw
{

namespace
{

bool is_hypervisor_owned(const machine &m, std::optional<spa_t> spa) noexcept
{
    return !spa.has_value() || !m.rmp().load(*spa).assigned;
}

/// The page must have an entry, belong to the guest at the right GPA, be marked as VMSA, and not be
/// immutable (APM vol. 2, table 15-41). The manual does not require it to be validated.
bool is_vmsa_of(const machine &m, const snp_vmsa &v) noexcept
{
    const rmp_entry e = rmp_owner(m.rmp(), v.spa); // reads as not assigned if there is no entry
    return e.assigned && e.asid != 0 && e.asid == v.asid && e.gpa == align_down(v.gpa, page_4k) &&
           !e.immutable && e.vmsa &&
           (!e.size_2m || m.choices().vmsa_size == choice::vmsa_size::any);
}

} // namespace

fault vmcb_check(const machine &m, unsigned thread, spa_t vmcb) noexcept
{
    return !m.snp_enabled(thread) || is_hypervisor_owned(m, vmcb) ? fault::none : fault::gp0;
}

fault vmrun_check(const machine &m, unsigned thread, spa_t vmcb) noexcept
{
    return m.thread(thread).vm_hsave_pa == 0 ? fault::gp0 : vmcb_check(m, thread, vmcb);
}

bool vmrun_pages_valid(const machine &m, unsigned thread, const vmrun_pages &pages) noexcept
{
    if (!m.snp_enabled(thread)) {
        return !pages.snp_active;
    }
    return is_hypervisor_owned(m, pages.avic_backing) &&
           is_hypervisor_owned(m, pages.nonsnp_vmsa) &&
           (!pages.vmsa.has_value() || is_vmsa_of(m, *pages.vmsa));
}

} // namespace rmpopt::hw
