// SPDX-License-Identifier: GPL-2.0-or-later
#include "qemu/vcpu_stall.h"

#include "qemu/guest_timer.h"
#include "qemu/machine.h"
#include "qemu/symbols.h"

#include <algorithm>
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
qemu_function<bool(void *cpu)> cpu_thread_is_idle("cpu_thread_is_idle");
} // namespace qemu

/// How often it is looked whether the others are idle, in nanoseconds.
constexpr std::uint64_t look_period = 20'000;

/// A while of one vCPU.
struct spell {
    guest_timer timer{};
    bool lasts = false;
    std::uint64_t until = 0; ///< on the guest's clock
    bool until_idle = false;
    void *cpu = nullptr;
    void (*end)(void *cpu) = nullptr;

    void begin(void *of, std::uint64_t ns, bool idle, void (*at_end)(void *cpu))
    {
        lasts = true;
        until = virtual_clock_ns() + ns;
        until_idle = idle;
        cpu = of;
        end = at_end;
        wait();
    }

  private:
    void wait()
    {
        const std::uint64_t left = until - virtual_clock_ns();
        timer.once(until_idle ? std::min(left, look_period) : left, [this] { look(); });
    }

    void look()
    {
        if (virtual_clock_ns() < until && !(until_idle && others_are_idle())) {
            wait();
            return;
        }
        lasts = false;
        if (end != nullptr) {
            end(cpu);
        }
    }

    bool others_are_idle() const
    {
        return std::ranges::all_of(vcpu::all(), [this](void *other) {
            return other == cpu || qemu::cpu_thread_is_idle(other);
        });
    }
};

/// One for each vCPU; deques, because QEMU keeps the addresses of their timers.
std::deque<spell> stalls, holds;

spell &of(std::deque<spell> &all, const vcpu &cpu)
{
    if (all.empty()) {
        all.resize(vcpu::all().size());
    }
    return all.at(cpu.index());
}

} // namespace

void stall(const vcpu &cpu, std::uint64_t ns, bool until_idle)
{
    void *const stalled = vcpu::all().at(cpu.index());
    of(stalls, cpu).begin(stalled, ns, until_idle, [](void *c) { qemu::cpu_resume(c); });
    qemu::cpu_pause(stalled);
}

void hold_interrupts(const vcpu &cpu, std::uint64_t ns, bool until_idle)
{
    of(holds, cpu).begin(vcpu::all().at(cpu.index()), ns, until_idle, nullptr);
}

bool holds_interrupts(const vcpu &cpu)
{
    return !holds.empty() && holds[cpu.index()].lasts;
}

} // namespace rmpopt
