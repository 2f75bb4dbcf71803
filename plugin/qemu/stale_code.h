// SPDX-License-Identifier: GPL-2.0-or-later
// Code that one vCPU changes while another translates it. With a host thread for each vCPU, QEMU
// may then keep a translation of the bytes before the change: for a store to a page with translated
// code it first drops the translations and then stores, and holds no lock in between
// (notdirty_write() in QEMU's accel/tcg/cputlb.c). races.md has the details.
//
// Two ways round it, both only with several host threads:
// - An INT3 that memory does not hold any more is not delivered. QEMU continues at its address, as
//   if the instruction had been fetched a moment later. That is all that Linux's text_poke needs.
// - Blocks that were translated lately are compared with memory before their vCPU takes an
//   interrupt or executes CPUID. Who changes code tells the other CPUs by an interrupt, so a vCPU
//   that has taken it executes nothing old.
// What stays: code that is changed without INT3 and without such an event, which hardware need not
// notice either, and a block's bytes in its second page.
#pragma once

#include "qemu/vcpu.h"

#include <cstdint>
#include <string>

namespace rmpopt
{

class stale_code
{
  public:
    /// For layout.h: raises an exception that will not be delivered, and drops the block that is
    /// executed; so QEMU comes back to the callback that `ra` leads to.
    static void leave(std::uintptr_t ra);
    /// After that: what was found out.
    static std::string probe();
    /// After the probes, on vCPU 0's thread.
    static void start();

    /// The vCPU is about to translate a block whose first byte is at `host`; nullptr for a device.
    static void will_translate(const vcpu &cpu, std::uint64_t pc, const void *host);
    /// Drops the vCPU's blocks that differ from memory. True when there was one. Between blocks or
    /// in an instruction's callback, on the vCPU's thread.
    static bool drop_changed(const vcpu &cpu);
    /// Before QEMU delivers an exception on the vCPU: true when it must not be delivered.
    static bool withholds(const vcpu &cpu);
    /// The vCPU stops or continues to execute instructions. On its thread, from the first time on.
    static void idles(unsigned index, bool idle);

    struct counts {
        std::uint64_t breakpoints = 0; ///< INT3s that were not delivered
        /// Blocks whose code had changed before an interrupt or CPUID; QEMU itself has dropped most
        /// of them.
        std::uint64_t blocks = 0;
    };
    /// Since the start. Any thread.
    static counts seen();
};

} // namespace rmpopt
