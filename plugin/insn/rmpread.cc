// SPDX-License-Identifier: GPL-2.0-or-later
// RMPREAD (F2 0F 01 FD): RAX = system address, RCX = address of the 16-byte buffer.
#include "hw-model/insn/rmpread.h"
#include "insn/dispatch.h"

namespace rmpopt
{

void emulate_rmpread(insn_event event)
{
    hw::machine &m = event.machine();
    raise_any(event, hw::rmpread_fault(m, event.model_context()));
    refuse_in_guest(event, hw::changed_flags(m));
    synchronise(event);
    hw::rmp_record record;
    const hw::rmp_status s = hw::rmpread(m, event.reg(rax), record);
    if (s == hw::rmp_status::success) {
        raise_any(event, write_operand(m.memory(), event.cpu, event.reg(rcx), record.encode()));
    }
    complete_with_status(event, s, hw::changed_flags(m));
}

} // namespace rmpopt
