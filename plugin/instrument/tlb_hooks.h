// SPDX-License-Identifier: GPL-2.0-or-later
// Feeds a modelled TLB with the guest's loads and stores, and with what drops translations.
#pragma once

#include "measure/measurement.h"
#include "qemu/api.h"
#include "qemu/vcpu.h"

namespace rmpopt
{

class tlb_hooks
{
  public:
    /// While QEMU translates `tb` on the current vCPU, when a TLB is modelled.
    static void instrument(qemu_plugin_tb *tb);

    /// VMRUN of a VMCB with this ASID and TLB_CONTROL is about to be executed on the vCPU.
    static void guest_starts(const vcpu &cpu, std::uint16_t asid, std::uint8_t tlb_control);

    /// The vCPU's modelled TLB; nullptr when none is modelled.
    static vcpu_tlb *tlb_of(const vcpu &cpu);
    /// The ASID of the vCPU's accesses.
    static std::uint16_t asid_of(const vcpu &cpu, const vcpu_tlb &tlb);
};

} // namespace rmpopt
