// SPDX-License-Identifier: GPL-2.0-or-later
// VMSAVE (0F 01 DB): the RMP check of its target; then QEMU executes it.
#include "insn/dispatch.h"
#include "enforce/svm_guest.h"

namespace rmpopt
{

void emulate_vmsave(const insn_event &event)
{
    const hw::spa_t target = event.reg(rax);
    if (is_host_svm_insn(event.cpu, target) &&
        hw::vmcb_check(the_context->machine(), event.cpu.index(), target) != hw::fault::none) {
        raise(event, hw::fault::gp0);
    }
}

} // namespace rmpopt
