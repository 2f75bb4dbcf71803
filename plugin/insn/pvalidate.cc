// SPDX-License-Identifier: GPL-2.0-or-later
// PVALIDATE (F2 0F 01 FF): RAX = guest address, ECX = size, EDX[0] = validate or rescind. The
// translations of other CPUs are the guest's to drop.
#include "hw-model/base/x86_bits.h"
#include "insn/guest_page.h"
#include "qemu/svm.h"

namespace rmpopt
{

void emulate_pvalidate(insn_event event)
{
    const hw::guest_result r = execute_guest_insn(event, hw::guest_insn::pvalidate, hw::pvalidate);
    svm::flush_tlb(event.cpu);
    event.reg(rax) = static_cast<std::uint32_t>(r.status);
    complete(event, hw::status_flags(r.status) | (r.cf ? rflags_cf : 0),
             hw::status_flags_mask | rflags_cf);
}

} // namespace rmpopt
