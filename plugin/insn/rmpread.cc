// SPDX-License-Identifier: GPL-2.0-or-later
// RMPREAD (F2 0F 01 FD): RAX = system address, RCX = address of the 16-byte buffer.
#include "hw-model/insn/rmpread.h"
#include "insn/dispatch.h"

namespace rmpopt
{

void emulate_rmpread(insn_event event)
{
    hw::machine &m = the_context->machine();
    const hw::fault f = hw::rmpread_fault(m, event.model_context());
    if (f != hw::fault::none) {
        raise(event, f);
    }
    synchronise(event);
    hw::rmp_record record;
    const hw::rmp_status s = hw::rmpread(m, event.reg(rax), record);
    if (s == hw::rmp_status::success) {
        const operand_fault bad =
            write_operand(*the_context, event.cpu, event.reg(rcx), record.encode());
        if (bad.what != operand_fault::kind::none) {
            raise(event, bad);
        }
    }
    complete_with_status(event, s, hw::changed_flags(m));
}

} // namespace rmpopt
