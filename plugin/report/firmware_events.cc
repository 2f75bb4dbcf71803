// SPDX-License-Identifier: GPL-2.0-or-later
#include "report/firmware_events.h"

#include "base/format.h"

namespace rmpopt
{

void firmware_events::executed(std::uint16_t command, const hw::firmware_result &result)
{
    const std::scoped_lock guard(lock_);
    if (count_ != 0 && (command != command_ || result.status != status_)) {
        tell_commands();
    }
    command_ = command;
    status_ = result.status;
    ++count_;
    tell_guests(result);
}

void firmware_events::reset(const hw::firmware_result &result)
{
    const std::scoped_lock guard(lock_);
    tell_guests(result);
}

void firmware_events::flush()
{
    const std::scoped_lock guard(lock_);
    tell_commands();
}

std::uint64_t firmware_events::launched() const
{
    const std::scoped_lock guard(lock_);
    return launched_;
}

std::uint64_t firmware_events::ended() const
{
    const std::scoped_lock guard(lock_);
    return ended_;
}

void firmware_events::tell_commands()
{
    if (count_ != 0) {
        to_("psp", {{"command", hw::firmware_command_name(command_)},
                    {"status", status_},
                    {"count", count_}});
        count_ = 0;
    }
}

void firmware_events::tell_guests(const hw::firmware_result &result)
{
    for (const hw::guest_event &e : result.guests) {
        tell_guest(e);
    }
}

void firmware_events::tell_guest(const hw::guest_event &e)
{
    using kind = hw::guest_event::kind;
    if (e.what == kind::activated) {
        return; // its ASID is told with what follows
    }
    launched_ += e.what == kind::launched ? 1 : 0;
    ended_ += e.what == kind::ended ? 1 : 0;
    tell_commands();
    to_("guest", {{"action", e.what == kind::created    ? "created"
                             : e.what == kind::launched ? "launched"
                                                        : "ended"},
                  {"context", formatted("{:#x}", e.context)},
                  {"asid", e.asid}});
}

} // namespace rmpopt
