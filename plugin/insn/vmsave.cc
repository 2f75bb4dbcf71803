// SPDX-License-Identifier: GPL-2.0-or-later
// VMSAVE (0F 01 DB): makes the RMP check of its target, then lets QEMU execute it.
#include "enforce/svm_guest.h"
#include "insn/dispatch.h"

namespace rmpopt
{

void emulate_vmsave(const insn_event &event)
{
    const hw::spa_t target = event.reg(rax);
    if (is_host_svm_insn(event.cpu, target)) {
        raise_any(event, hw::vmcb_check(event.machine(), event.cpu.index(), target));
    }
}

} // namespace rmpopt
