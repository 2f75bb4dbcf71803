// SPDX-License-Identifier: GPL-2.0-or-later
// Counts the guest's stores for the measurement, by callbacks in the blocks that QEMU translates.
// While nothing is measured, blocks get no callbacks.
#pragma once

#include "measure/measurement.h"
#include "qemu/api.h"
#include "qemu/vcpu.h"
#include "x86/plain_block.h"

namespace rmpopt
{

class store_hooks
{
  public:
    /// Before any block is translated.
    static void start(measurement &m);

    /// Registers the callbacks of `tb`. Called while QEMU translates it on the current vCPU.
    static void instrument(qemu_plugin_tb *tb);

    /// Changes how blocks are instrumented. To be called while no vCPU executes a block; all blocks
    /// must be translated anew afterwards.
    static void set_mode(measure_request to);

    /// The kinds of access that instrument() puts callbacks on.
    static watched_accesses watched();

    /// True when instrument() must see the block at `offset` of `page`, whatever it accesses.
    static bool must_see(const vcpu &cpu, std::span<const std::uint8_t> page, std::size_t offset);

    /// To be called instead of instrument() for a block that is_plain_block() found to make no
    /// watched access. If the block makes one after all, QEMU ends.
    static void expect_none(qemu_plugin_tb *tb);

    /// To be called when an exception or interrupt is delivered to the vCPU, whose state must be
    /// exact, before the first instruction of its handler.
    static void delivered(const vcpu &cpu);

    /// True when blocks are instrumented for a modelled TLB.
    static bool models_tlb();

    /// Closes the sample of the current vCPU, so that it belongs to the phase that ends.
    static void end_phase();

    /// To be called when QEMU has walked the page tables for `address`: what was cached for its
    /// page is forgotten.
    static void translated(const vcpu &cpu, std::uint64_t address);
};

} // namespace rmpopt
