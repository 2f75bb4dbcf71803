// SPDX-License-Identifier: GPL-2.0-or-later
// RMPADJUST (F3 0F 01 FE): RAX = guest address, RCX = size, RDX = VMPL, permissions, VMSA. The
// translations of other CPUs are the guest's to drop.
#include "insn/guest_page.h"
#include "qemu/svm.h"

namespace rmpopt
{

void emulate_rmpadjust(insn_event event)
{
    const hw::guest_result r = execute_guest_insn(event, hw::guest_insn::rmpadjust, hw::rmpadjust);
    svm::flush_tlb(event.cpu);
    complete_with_status(event, r.status, hw::status_flags_mask);
}

} // namespace rmpopt
