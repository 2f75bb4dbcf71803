// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/firmware/common/page_state.h"

namespace rmpopt::hw
{

namespace
{

page_state state_of_guest_page(const rmp_entry &e)
{
    if (e.immutable) {
        return e.validated ? page_state::pre_swap : page_state::pre_guest;
    }
    return e.validated ? page_state::guest_valid : page_state::guest_invalid;
}

page_state state_of_firmware_page(const rmp_entry &e)
{
    if (!e.immutable) {
        return page_state::reclaim;
    }
    if (e.vmsa) {
        return page_state::context;
    }
    if (e.gpa == firmware_iommu_gpa) {
        return page_state::firmware_iommu;
    }
    return e.gpa == 0 ? page_state::firmware : page_state::metadata;
}

} // namespace

page_state state_of(const rmp_entry &e)
{
    if (!e.assigned) {
        return e.immutable ? page_state::hv_fixed : page_state::hypervisor;
    }
    return e.asid != 0 ? state_of_guest_page(e) : state_of_firmware_page(e);
}

rmp_entry hv_fixed_entry()
{
    rmp_entry e;
    e.immutable = true;
    return e;
}

rmp_entry firmware_entry()
{
    rmp_entry e;
    e.assigned = true;
    e.immutable = true;
    e.lock = true;
    return e;
}

rmp_entry firmware_iommu_entry()
{
    rmp_entry e = firmware_entry();
    e.gpa = firmware_iommu_gpa;
    return e;
}

rmp_entry context_entry()
{
    rmp_entry e = firmware_entry();
    e.vmsa = true;
    return e;
}

rmp_entry metadata_entry()
{
    rmp_entry e = firmware_entry();
    e.gpa = firmware_iommu_gpa + page_4k; // the lowest frame that is neither of the others
    return e;
}

} // namespace rmpopt::hw
