// SPDX-License-Identifier: GPL-2.0-or-later
// Feeds a modelled TLB with the guest's loads, stores and VMRUNs.
#pragma once

#include "measure/measurement.h"
#include "qemu/api.h"
#include "qemu/vcpu.h"

namespace rmpopt
{

class tlb_hooks
{
  public:
    /// Registers the callbacks of `tb`. Called while QEMU translates it on the current vCPU, if a
    /// TLB is modelled.
    static void instrument(qemu_plugin_tb *tb);

    /// To be called before the vCPU executes VMRUN of a VMCB with this ASID and TLB_CONTROL.
    static void guest_starts(const vcpu &cpu, std::uint16_t asid, std::uint8_t tlb_control);

    /// The vCPU's modelled TLB; nullptr when none is modelled.
    static vcpu_tlb *tlb_of(const vcpu &cpu);
    /// The ASID under which the vCPU's accesses are cached now; 0 for the host.
    static std::uint16_t asid_of(const vcpu &cpu, const vcpu_tlb &tlb);
};

} // namespace rmpopt
