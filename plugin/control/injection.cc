// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/injection.h"

#include "base/format.h"
#include "base/number.h"
#include "hw-model/firmware/firmware.h"

#include <limits>
#include <ranges>
#include <vector>

namespace rmpopt
{

std::string parse_injection(std::string_view text, injection_request &out)
{
    std::vector<std::string_view> words;
    for (const auto part : std::views::split(text, ':')) {
        words.emplace_back(part.begin(), part.end());
    }
    const bool is_psp = text.starts_with("psp:");
    const std::size_t status = is_psp ? 2 : 1; // its place among the words
    if ((!is_psp && !text.starts_with("rmpupdate:")) || words.size() < status + 1 ||
        words.size() > status + 2) {
        return formatted("'{}' is not psp:COMMAND:STATUS[:COUNT] or rmpupdate:STATUS[:COUNT]",
                         text);
    }
    if (is_psp) {
        const auto command = find_firmware_command(words[1]);
        if (!command.has_value()) {
            return formatted("'{}' is no command of firmware; give a name such as SNP_INIT_EX",
                             words[1]);
        }
        out.what = injection_request::kind::psp;
        out.command = *command;
    } else {
        out.what = injection_request::kind::rmpupdate;
    }
    const std::uint32_t most = is_psp ? std::numeric_limits<std::uint16_t>::max()
                                      : std::numeric_limits<std::uint32_t>::max();
    if (!parse_any_number(words[status], out.status) || out.status > most) {
        return formatted("'{}' is no status from 0 to {}", words[status], most);
    }
    if (words.size() > status + 1 && !parse_number(words.back(), out.count)) {
        return formatted("'{}' is no count", words.back());
    }
    return {};
}

std::optional<std::uint16_t> find_firmware_command(std::string_view name)
{
    for (unsigned id = 0; id <= 0xff; ++id) {
        if (hw::firmware_command_name(static_cast<std::uint16_t>(id)) == name) {
            return static_cast<std::uint16_t>(id);
        }
    }
    return std::nullopt;
}

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
