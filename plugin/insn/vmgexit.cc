// SPDX-License-Identifier: GPL-2.0-or-later
// VMGEXIT (F2 or F3 0F 01 D9): ends an SEV-ES guest with VMEXIT_VMGEXIT, at the next instruction.
// Everywhere else it is VMMCALL, which QEMU executes.
#include "hw-model/guest/vmexit.h"
#include "insn/dispatch.h"
#include "sev/encrypted_guest.h"

namespace rmpopt
{

void emulate_vmgexit(insn_event event)
{
    if (!runs_encrypted_guest(event.cpu) || !encrypted_guest_of(event.cpu).es) {
        return;
    }
    synchronise(event);
    note_request(event.cpu);
    exit_behind(event, hw::exit_code::vmgexit);
}

} // namespace rmpopt
