// SPDX-License-Identifier: GPL-2.0-or-later
// RMPQUERY (F3 0F 01 FD): RAX = guest address, RDX[7:0] = VMPL; returns the size in RCX, and VMPL,
// permissions and VMSA in RDX.
#include "insn/guest_page.h"

namespace rmpopt
{

void emulate_rmpquery(insn_event event)
{
    const hw::guest_result r = execute_guest_insn(event, hw::guest_insn::rmpquery, hw::rmpquery);
    if (r.status == hw::rmp_status::success) {
        event.reg(rcx) = r.rcx;
        event.reg(rdx) = r.rdx;
    }
    complete_with_status(event, r.status, hw::status_flags_mask);
}

} // namespace rmpopt
