// SPDX-License-Identifier: GPL-2.0-or-later
// HLT (F4): Linux executes it with interrupts off on a CPU that it takes offline.
#include "insn/dispatch.h"

namespace rmpopt
{

void emulate_hlt(const insn_event &event)
{
    constexpr std::uint64_t interrupts_on = 1u << 9;
    if (event.cpu.cpl() == 0 && !event.cpu.in_guest() &&
        (event.cpu.paging().rflags & interrupts_on) == 0) {
        event.heard().halted_for_good(event.cpu.index());
    }
}

} // namespace rmpopt
