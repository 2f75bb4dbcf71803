// SPDX-License-Identifier: GPL-2.0-or-later
// HLT (F4): Linux executes it with interrupts off on a CPU that it takes offline.
#include "hw-model/base/x86_bits.h"
#include "insn/dispatch.h"

namespace rmpopt
{

void emulate_hlt(const insn_event &event)
{
    if (event.cpu.cpl() == 0 && !event.cpu.in_guest() &&
        (event.cpu.paging().rflags & rflags_if) == 0) {
        event.heard().halted_for_good(event.cpu.index());
    }
}

} // namespace rmpopt
