// SPDX-License-Identifier: GPL-2.0-or-later
// RMPOPT (F2 0F 01 FC): RAX = system address, RCX = function; the result is CF.
#include "hw-model/insn/rmpopt.h"

#include "insn/dispatch.h"

namespace rmpopt
{

void emulate_rmpopt(const insn_event &event)
{
    const hw::rmpopt_result r =
        hw::rmpopt(event.machine(), event.model_context(), event.reg(rax), event.reg(rcx));
    event.heard().rmpopt(place_of(event), event.reg(rax), event.reg(rcx), r);
    raise_any(event, r.exception);
    complete(event, r.cf ? hw::flag_cf : 0, r.changed_flags);
}

} // namespace rmpopt
