// SPDX-License-Identifier: GPL-2.0-or-later
#include "platform/firmware_events.h"

#include <fmt/format.h>

namespace rmpopt
{

namespace
{

bool is_launched(const hw::snp_guest_info &g)
{
    return g.state == hw::snp_guest_state::running;
}

} // namespace

void firmware_events::executed(std::uint16_t command, std::uint16_t status,
                               const std::vector<hw::snp_guest_info> &guests)
{
    const std::scoped_lock guard(lock_);
    if (count_ != 0 && (command != command_ || status != status_)) {
        tell_commands();
    }
    command_ = command;
    status_ = status;
    ++count_;
    compare(guests);
}

void firmware_events::flush()
{
    const std::scoped_lock guard(lock_);
    tell_commands();
}

void firmware_events::forget()
{
    const std::scoped_lock guard(lock_);
    guests_.clear();
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

void firmware_events::compare(const std::vector<hw::snp_guest_info> &guests)
{
    std::map<hw::spa_t, hw::snp_guest_info> now;
    for (const hw::snp_guest_info &g : guests) {
        now.emplace(g.context, g);
        const auto before = guests_.find(g.context);
        if (before == guests_.end()) {
            tell_guest("created", g.context, g.asid);
        }
        if (is_launched(g) && (before == guests_.end() || !is_launched(before->second))) {
            ++launched_;
            tell_guest("launched", g.context, g.asid);
        }
    }
    for (const auto &[context, g] : guests_) {
        if (!now.contains(context)) {
            ++ended_;
            tell_guest("ended", context, g.asid);
        }
    }
    guests_ = std::move(now);
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

void firmware_events::tell_guest(std::string_view action, hw::spa_t context, std::uint32_t asid)
{
    tell_commands();
    to_("guest", {{"action", action}, {"context", fmt::format("{:#x}", context)}, {"asid", asid}});
}

} // namespace rmpopt
