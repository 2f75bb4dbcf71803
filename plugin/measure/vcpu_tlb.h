// SPDX-License-Identifier: GPL-2.0-or-later
// The modelled TLB of one vCPU, with what makes a hit in it cheap.
//
// Thread-safety: the vCPU's thread, but invalidate() and rmp_changed() of the model.
#pragma once

#include "measure/page_filter.h"
#include "measure/tlb_model.h"

namespace rmpopt
{

/// A page whose entry is in the first level.
struct tlb_hit {
    tlb_entry *entry = nullptr;
    std::uint32_t generation = 0;
    cell_counter *stores = nullptr; ///< the counter of stores to it

    bool holds() const { return entry->generation == generation; }
};

struct vcpu_tlb {
    explicit vcpu_tlb(const tlb_geometry &share) : model(share) {}

    tlb_model model;
    page_filter<tlb_hit> loads;
    page_filter<tlb_hit> stores;  ///< pages whose entry has been checked for writes
    std::uint16_t guest_asid = 0; ///< of the VMCB that the vCPU ran last

    /// The owner has changed the model.
    void forget_all()
    {
        loads.forget_all();
        stores.forget_all();
    }
    /// Another thread has.
    void invalidate()
    {
        loads.invalidate();
        stores.invalidate();
    }
    std::size_t bytes() const { return sizeof *this + model.bytes(); }
};

} // namespace rmpopt
