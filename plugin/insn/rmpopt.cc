// SPDX-License-Identifier: GPL-2.0-or-later
// RMPOPT (F2 0F 01 FC): RAX = system address, RCX = function; the result is CF.
#include "hw-model/insn/rmpopt.h"

#include "insn/dispatch.h"

namespace rmpopt
{

void emulate_rmpopt(const insn_event &event)
{
    const hw::rmpopt_result r =
        hw::rmpopt(the_context->machine(), event.model_context(), event.reg(rax), event.reg(rcx));
    the_context->measuring().rmpopt(event.cpu.index(), r);
    if (watch *watcher = the_context->watcher()) {
        watcher->rmpopt(place_of(event), event.reg(rax), event.reg(rcx), r);
    }
    if (r.exception != hw::fault::none) {
        raise(event, r.exception);
    }
    the_context->audit(event.reg(rax));
    complete(event, r.cf ? hw::flag_cf : 0, r.changed_flags);
}

} // namespace rmpopt
