// SPDX-License-Identifier: GPL-2.0-or-later
#include "enforce/fault.h"

#include "emulation.h"
#include "base/log.h"

#include <array>
#include <atomic>

namespace rmpopt
{

namespace
{

/// vCPUs whose #PF is on its way to the handler.
std::array<std::atomic<bool>, most_vcpus> under_way;

/// Log lines about single faults; a guest that faults for ever must not fill the disk.
constexpr std::uint64_t logged_faults = 100;

} // namespace

void log_rmp_fault(const vcpu &cpu, std::uint64_t address, std::uint64_t error_code)
{
    hw::counter_set::counter &faults = the_context->machine().counters().rmp_faults;
    if (faults.fetch_add(1, std::memory_order_relaxed) < logged_faults) {
        log("vCPU {}: RMP fault, RIP {:#x}, address {:#x}, error code {:#x}", cpu.index(),
            cpu.rip(), address, error_code);
    }
}

namespace
{

void tell_watch(const vcpu &cpu, std::uint64_t address)
{
    watch *watcher = the_context->watcher();
    if (watcher == nullptr) {
        return;
    }
    const walk_result page =
        translate(the_context->ram().hardware_view(), cpu.paging(), address, access_kind::write);
    const place where{.cpu = cpu.index(),
                      .rip_of = [](const void *c) { return static_cast<const vcpu *>(c)->rip(); },
                      .insn = &cpu};
    watcher->write_refused(where, page.kind == walk_result::outcome::ok ? std::optional(page.spa)
                                                                        : std::nullopt);
}

} // namespace

void deliver_rmp_fault(const vcpu &cpu, std::uint64_t address, std::uint32_t access,
                       std::uintptr_t ra)
{
    const std::uint32_t code = pf_rmp | pf_present | access;
    cpu.synchronise(ra);
    log_rmp_fault(cpu, address, code);
    tell_watch(cpu, address);
    under_way.at(cpu.index()).store(true, std::memory_order_relaxed);
    cpu.set_cr2(address);
    cpu.raise(vector::pf, static_cast<int>(code), 0);
}

// QEMU keeps the error code in an int and pushes it sign-extended, so bit 31 arrives as
// 0xffffffff80000003; this cuts the pushed value to what hardware pushes.
void finish_rmp_fault(const vcpu &cpu)
{
    constexpr std::uint64_t extension = 0xffffffffull << 32;
    if (!under_way[cpu.index()].exchange(false, std::memory_order_relaxed)) {
        return;
    }
    const hw::memory_view &memory = the_context->ram().hardware_view();
    const walk_result frame = translate(memory, cpu.paging(), cpu.reg(rsp), access_kind::write);
    const auto code = frame.kind == walk_result::outcome::ok ? memory.load<std::uint64_t>(frame.spa)
                                                             : std::nullopt;
    // The push itself may have faulted: then this is another frame.
    if (code.has_value() && (*code & extension) == extension &&
        (*code & (pf_rmp | pf_present)) == (pf_rmp | pf_present)) {
        memory.store(frame.spa, *code & ~extension);
    }
}

} // namespace rmpopt
