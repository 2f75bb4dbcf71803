// SPDX-License-Identifier: GPL-2.0-or-later
// Tells the measurement of the guest's stores: puts callbacks into the blocks that QEMU translates.
// Nothing is put into them while nothing is measured.
#pragma once

#include "qemu/vcpu.h"
#include "measure/measurement.h"
#include "x86/plain_block.h"
#include "qemu/api.h"

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

    /// The accesses that instrument() looks for.
    static watched_accesses watched();

    /// True when instrument() must see the block at `offset` of `page`, whatever it accesses.
    static bool must_see(const vcpu &cpu, std::span<const std::uint8_t> page,
                         std::size_t offset);

    /// Instead of instrument(), for a block without watched accesses: ends QEMU if there is one.
    static void expect_none(qemu_plugin_tb *tb);

    /// An exception or interrupt is delivered to the vCPU, whose state is exact; no instruction of
    /// its handler has been executed.
    static void delivered(const vcpu &cpu);

    /// Blocks are instrumented for a modelled TLB.
    static bool models_tlb();

    /// On the current vCPU: what was drawn so far belongs to the phase that ends.
    static void end_phase();

    /// QEMU has looked a translation up for the page of `address`.
    static void translated(const vcpu &cpu, std::uint64_t address);
};

} // namespace rmpopt
