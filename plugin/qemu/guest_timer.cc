// SPDX-License-Identifier: GPL-2.0-or-later
#include "qemu/guest_timer.h"

#include "qemu/layout.h"
#include "qemu/machine.h"
#include "qemu/symbols.h"

#include <cstring>
#include <utility>

namespace rmpopt
{

namespace
{

namespace qemu
{
qemu_object use_icount("use_icount");
qemu_function<void(void *timer, void *group, int clock, int scale, int attributes,
                   void (*expired)(void *data), void *data)>
    timer_init_full("timer_init_full");
qemu_function<void(void *timer, std::int64_t when)> timer_mod_ns("timer_mod_ns");
} // namespace qemu

} // namespace

bool clock_counts_instructions()
{
    int mode = 0; // 0: it does not
    std::memcpy(&mode, qemu::use_icount.address(), sizeof mode);
    return mode != 0;
}

void guest_timer::start(std::uint64_t period, std::function<void()> f)
{
    period_ = period;
    call_ = std::move(f);
    arm(period);
}

void guest_timer::once(std::uint64_t delay, std::function<void()> f)
{
    period_ = 0;
    call_ = std::move(f);
    arm(delay);
}

void guest_timer::arm(std::uint64_t delay)
{
    constexpr int nanoseconds = 1;
    if (!std::exchange(is_made_, true)) {
        qemu::timer_init_full(timer_.data(), nullptr, layout::clock_virtual, nanoseconds, 0,
                              expired, this);
    }
    qemu::timer_mod_ns(timer_.data(), static_cast<std::int64_t>(virtual_clock_ns() + delay));
}

void guest_timer::expired(void *self)
{
    auto *t = static_cast<guest_timer *>(self);
    if (t->period_ != 0) {
        t->call_();
        t->arm(t->period_);
    } else {
        std::exchange(t->call_, {})(); // which may call once() again
    }
}

} // namespace rmpopt
