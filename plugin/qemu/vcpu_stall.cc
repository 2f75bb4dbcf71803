// SPDX-License-Identifier: GPL-2.0-or-later
#include "qemu/vcpu_stall.h"

#include "qemu/guest_timer.h"
#include "qemu/symbols.h"

#include <deque>

namespace rmpopt
{

namespace
{

namespace qemu
{
// As the monitor's "stop" does with all vCPUs: QEMU passes over a stopped vCPU, and counts it as
// idle, so that the clock jumps when all others are idle, too.
qemu_function<void(void *cpu)> cpu_pause("cpu_pause");
qemu_function<void(void *cpu)> cpu_resume("cpu_resume");
} // namespace qemu

/// One for each vCPU; a deque, because QEMU keeps their addresses.
std::deque<guest_timer> ends;

} // namespace

void stall(const vcpu &cpu, std::uint64_t ns)
{
    if (ends.empty()) {
        ends.resize(vcpu::all().size());
    }
    void *const stalled = vcpu::all().at(cpu.index());
    ends.at(cpu.index()).once(ns, [stalled] { qemu::cpu_resume(stalled); });
    qemu::cpu_pause(stalled);
}

} // namespace rmpopt
