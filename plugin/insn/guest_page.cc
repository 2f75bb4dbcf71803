// SPDX-License-Identifier: GPL-2.0-or-later
#include "insn/guest_page.h"

#include "hw-model/base/x86_bits.h"
#include "hw-model/guest/vmexit.h"
#include "sev/encrypted_guest.h"
#include "sev/guest_counts.h"

namespace rmpopt
{

namespace
{

hw::guest_context context_of(const insn_event &event)
{
    hw::guest_context c{.thread = event.cpu.index(),
                        .cpl = event.cpu.cpl(),
                        .long_mode = event.cpu.code_64(),
                        .snp_guest = false};
    if (runs_encrypted_guest(event.cpu)) {
        const hw::guest_identity &who = encrypted_guest_of(event.cpu).identity;
        c.snp_guest = who.snp;
        c.asid = who.asid;
        c.vmpl = who.vmpl;
    }
    return c;
}

/// EXITINFO1 of a fault of the page itself, without the bits of the verdict.
constexpr std::uint64_t page_info = pf_present | pf_user;

void raise_any(const insn_event &event, const hw::guest_result &r, std::uint64_t gpa)
{
    switch (r.exception) {
    case hw::guest_exception::none:
        return;
    case hw::guest_exception::ud:
        raise(event, hw::fault::ud);
    case hw::guest_exception::gp0:
        raise(event, hw::fault::gp0);
    case hw::guest_exception::vc:
        exit_encrypted_guest(event.cpu, r.error);
    case hw::guest_exception::npf:
        exit_encrypted_guest(event.cpu, hw::exit_code::nested_page_fault, page_info | r.error, gpa);
    }
}

void note_executed(const vcpu &cpu, hw::guest_insn insn, const hw::guest_registers &registers,
                   const hw::guest_result &r, const hw::guest_translation &page)
{
    guest_counters &counters = guest_counters_of(cpu);
    if (insn == hw::guest_insn::rmpadjust) {
        bump(counters.rmpadjust);
    }
    if (insn != hw::guest_insn::pvalidate) {
        return;
    }
    bump(counters.pvalidate);
    if (r.cf) {
        bump(counters.pvalidate_unchanged);
    }
    if (r.cf && (registers.rdx & 1) != 0) {
        tell_page(cpu, guest_page_event::kind::validated_again, page.gpa, page.spa, cpu.rip());
    }
}

} // namespace

hw::guest_result execute_guest_insn(insn_event &event, hw::guest_insn insn,
                                    guest_insn_function execute)
{
    const hw::guest_context context = context_of(event);
    const hw::guest_registers registers{event.reg(rax), event.reg(rcx), event.reg(rdx)};
    synchronise(event);
    if (const auto early = hw::before_translation(event.machine(), insn, context, registers)) {
        raise_any(event, *early, 0);
        return *early;
    }
    const hw::guest_translation page = translate_operand(event.cpu, registers.rax);
    const hw::guest_result r = execute(event.machine(), context, registers,
                                       {.spa = page.spa,
                                        .gpa = page.gpa,
                                        .large_nested = page.large_nested,
                                        .encrypted = page.encrypted});
    raise_any(event, r, page.gpa);
    note_executed(event.cpu, insn, registers, r, page);
    return r;
}

} // namespace rmpopt
