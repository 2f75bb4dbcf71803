// SPDX-License-Identifier: GPL-2.0-or-later
#include "enforce/fault.h"

#include "enforce/state.h"
#include "hw-model/base/x86_bits.h"
#include "x86/page_tables.h"

#include <array>
#include <atomic>

namespace rmpopt
{

namespace
{

/// By vCPU: true while QEMU delivers a #PF with the RMP bit.
std::array<std::atomic<bool>, most_vcpus> under_way;

} // namespace

void tell_denied(const vcpu &cpu, const denied_access &access)
{
    const place where{.cpu = cpu.index(),
                      .rip_of = [](const void *c) { return static_cast<const vcpu *>(c)->rip(); },
                      .insn = &cpu};
    enforced.heard->denied(where, access);
}

void deliver_page_fault(const vcpu &cpu, denied_access access, std::uintptr_t ra)
{
    access.code |= pf_present | access.verdict.error_bits;
    cpu.synchronise(ra);
    tell_denied(cpu, access);
    under_way.at(cpu.index()).store((access.code & pf_rmp) != 0, std::memory_order_relaxed);
    cpu.set_cr2(access.address);
    cpu.raise(vector::pf, static_cast<int>(access.code), 0);
}

// QEMU keeps the error code in an int and pushes it sign-extended, so that a code with bit 31
// arrives as 0xffffffff80000003. This corrects the pushed value to what hardware pushes.
void finish_page_fault(const vcpu &cpu)
{
    constexpr std::uint64_t extension = 0xffffffffull << 32;
    if (!under_way[cpu.index()].exchange(false, std::memory_order_relaxed)) {
        return;
    }
    const hw::memory_view &memory = enforced.machine->memory();
    const walk_result frame = translate(memory, cpu.paging(), cpu.reg(rsp), access_kind::write);
    const auto code = frame.kind == walk_result::outcome::ok ? memory.load<std::uint64_t>(frame.spa)
                                                             : std::nullopt;
    // The push itself may have faulted; then this frame is another exception's.
    if (code.has_value() && (*code & extension) == extension &&
        (*code & (pf_rmp | pf_present)) == (pf_rmp | pf_present)) {
        memory.store(frame.spa, *code & ~extension);
    }
}

} // namespace rmpopt
