// SPDX-License-Identifier: GPL-2.0-or-later
// PSMASH (F3 0F 01 FF): RAX = system address of a 2 MB page.
#include "hw-model/insn/psmash.h"
#include "enforce/svm_guest.h"
#include "insn/dispatch.h"
#include "sev/encrypted_guest.h"

namespace rmpopt
{

void emulate_psmash(const insn_event &event)
{
    raise_any(event, hw::host_insn_fault(event.machine(), event.model_context()));
    refuse_in_guest(event, hw::status_flags_mask);
    if (!is_use_certain(event.reg(rax), hw::page_2m)) {
        execute_again(event);
    }
    const hw::rmp_status status = hw::psmash(event.machine(), event.reg(rax));
    if (status == hw::rmp_status::success) {
        drop_translations_of_guests();
    }
    event.heard().psmash(place_of(event), event.reg(rax), status);
    complete_with_status(event, status, hw::status_flags_mask);
}

} // namespace rmpopt
