// SPDX-License-Identifier: GPL-2.0-or-later
// PVALIDATE (F2 0F 01 FF): RAX = guest address, ECX = size, EDX[0] = validate or rescind. The
// translations of other CPUs are the guest's to drop.
#include "enforce/enforcement.h"
#include "hw-model/base/x86_bits.h"
#include "insn/guest_page.h"
#include "qemu/svm.h"

namespace rmpopt
{

namespace
{

/// The page is another for who has looked at it from outside.
hw::guest_result pvalidate(hw::machine &m, const hw::guest_context &context,
                           const hw::guest_registers &registers, const hw::guest_operand &page)
{
    const hw::guest_result r = hw::pvalidate(m, context, registers, page);
    if (r == hw::guest_result{}) {
        const std::uint64_t bytes = (registers.rcx & 1) != 0 ? hw::page_2m : hw::page_4k;
        take_effect(hw::spa_range{hw::align_down(page.spa, bytes), bytes});
    }
    return r;
}

} // namespace

void emulate_pvalidate(insn_event event)
{
    const hw::guest_result r = execute_guest_insn(event, hw::guest_insn::pvalidate, pvalidate);
    svm::flush_tlb(event.cpu);
    event.reg(rax) = static_cast<std::uint32_t>(r.status);
    complete(event, hw::status_flags(r.status) | (r.cf ? rflags_cf : 0),
             hw::status_flags_mask | rflags_cf);
}

} // namespace rmpopt
