// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/injection.h"

namespace rmpopt
{

std::optional<std::uint32_t> injections::failure::take()
{
    if (left == 0) {
        return std::nullopt;
    }
    --left;
    return status;
}

void injections::arm_psp(std::uint16_t command, std::uint16_t status, std::uint64_t count)
{
    const std::scoped_lock guard(lock_);
    psp_[command] = {status, count};
}

void injections::arm_rmpupdate(hw::rmp_status status, std::uint64_t count)
{
    const std::scoped_lock guard(lock_);
    rmpupdate_ = {static_cast<std::uint32_t>(status), count};
    any_rmpupdate_.store(count != 0, std::memory_order_relaxed);
}

std::optional<std::uint16_t> injections::take_psp(std::uint16_t command)
{
    const std::scoped_lock guard(lock_);
    const auto found = psp_.find(command);
    const auto status = found == psp_.end() ? std::nullopt : found->second.take();
    return status.has_value() ? std::optional(static_cast<std::uint16_t>(*status)) : std::nullopt;
}

std::optional<hw::rmp_status> injections::take_rmpupdate()
{
    if (!any_rmpupdate_.load(std::memory_order_relaxed)) {
        return std::nullopt;
    }
    const std::scoped_lock guard(lock_);
    const auto status = rmpupdate_.take();
    any_rmpupdate_.store(rmpupdate_.left != 0, std::memory_order_relaxed);
    return status.has_value() ? std::optional(static_cast<hw::rmp_status>(*status)) : std::nullopt;
}

} // namespace rmpopt
