// SPDX-License-Identifier: GPL-2.0-or-later
// PSMASH (F3 0F 01 FF): RAX = system address of a 2 MB page.
#include "hw-model/insn/psmash.h"
#include "enforce/svm_guest.h"
#include "insn/dispatch.h"

namespace rmpopt
{

void emulate_psmash(const insn_event &event)
{
    hw::machine &m = the_context->machine();
    const hw::fault f = hw::host_insn_fault(m, event.model_context());
    if (f != hw::fault::none) {
        raise(event, f);
    }
    refresh_guests();
    const hw::rmp_status status = hw::psmash(m, event.reg(rax));
    the_context->audit(event.reg(rax));
    the_context->measuring().psmash(event.reg(rax), status);
    if (status == hw::rmp_status::success) {
        the_context->measuring().rmp_changed({event.reg(rax), hw::page_2m});
    }
    if (watch *watcher = the_context->watcher()) {
        watcher->psmash(place_of(event), event.reg(rax), status);
    }
    complete_with_status(event, status, hw::status_flags_mask);
}

} // namespace rmpopt
