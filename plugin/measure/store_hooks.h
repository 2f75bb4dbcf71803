// SPDX-License-Identifier: GPL-2.0-or-later
// Tells the measurement of the guest's stores: puts callbacks into the blocks that QEMU translates.
// Nothing is put into them while nothing is measured.
#pragma once

#include "host_cpu.h"
#include "measurement.h"
#include "qemu_api.h"

namespace rmpopt
{

class store_hooks
{
  public:
    /// Before any block is translated.
    static void start(measurement &m);

    /// While QEMU translates `tb` on the current vCPU.
    static void instrument(qemu_plugin_tb *tb);

    /// From now on blocks are instrumented like that. While no vCPU executes one and before the
    /// next is translated.
    static void set_mode(measure_request to);

    /// Blocks are instrumented at all.
    static bool instruments();

    /// Blocks are instrumented for a modelled TLB.
    static bool models_tlb();

    /// On the current vCPU: what was drawn so far belongs to the phase that ends.
    static void end_phase();

    /// QEMU has looked a translation up for the page of `address`.
    static void translated(const host_cpu &cpu, std::uint64_t address);
};

} // namespace rmpopt
