// SPDX-License-Identifier: GPL-2.0-or-later
#include "rmp_fault.h"

#include "context.h"
#include "log.h"

namespace rmpopt
{

namespace
{

/// QEMU keeps the error code in an int and pushes it sign-extended, so bit 31 arrives as
/// 0xffffffff80000003. Runs between the delivery of the exception and the first instruction of its
/// handler; cuts the pushed value to what hardware pushes.
void cut_pushed_error_code(const host_cpu &cpu)
{
    constexpr std::uint64_t extension = 0xffffffffull << 32;
    const hw::memory_view &memory = the_context->ram().hardware_view();
    const walk_result frame = walk(memory, cpu.paging(), cpu.reg(rsp), access_kind::write);
    if (frame.kind != walk_result::outcome::ok) {
        return;
    }
    const auto code = memory.load<std::uint64_t>(frame.spa);
    // A nested hypervisor or an NMI may have taken the vCPU elsewhere.
    if (code.has_value() && (*code & extension) == extension &&
        (*code & (pf_rmp | pf_present)) == (pf_rmp | pf_present)) {
        memory.store(frame.spa, *code & ~extension);
    }
}

/// Log lines about single faults; a guest that faults for ever must not fill the disk.
constexpr std::uint64_t logged_faults = 100;

} // namespace

void log_rmp_fault(const host_cpu &cpu, std::uint64_t address, std::uint64_t error_code)
{
    hw::counter_set::counter &faults = the_context->machine().counters().rmp_faults;
    if (faults.fetch_add(1, std::memory_order_relaxed) < logged_faults) {
        log("vCPU {}: RMP fault, RIP {:#x}, address {:#x}, error code {:#x}", cpu.index(),
            cpu.rip(), address, error_code);
    }
}

void deliver_rmp_fault(const host_cpu &cpu, std::uint64_t address, std::uint32_t access,
                       std::uintptr_t ra)
{
    const std::uint32_t code = pf_rmp | pf_present | access;
    if (ra != 0) {
        cpu.synchronise(ra);
    }
    log_rmp_fault(cpu, address, code);
    cpu.before_next_instruction(cut_pushed_error_code);
    cpu.set_cr2(address);
    cpu.raise(vector::pf, static_cast<int>(code), 0);
}

} // namespace rmpopt
