// SPDX-License-Identifier: GPL-2.0-or-later
#include "platform/psp/latency.h"

#include "base/duration.h"
#include "base/format.h"
#include "hw-model/firmware/firmware.h"

#include <algorithm>
#include <array>
#include <utility>

namespace rmpopt::psp
{

namespace
{

using command = hw::firmware_command;

constexpr std::uint64_t us = 1'000, ms = 1'000'000;

/// Assumptions, from what each command has to do: initialisation walks the RMP, flushes wait for
/// all cores, a launch digests and encrypts pages, signatures take milliseconds.
constexpr std::array<std::pair<command, std::uint64_t>, 14> typical{{
    {command::init, 20 * ms},
    {command::init_ex, 20 * ms},
    {command::snp_init, 500 * ms},
    {command::snp_init_ex, 500 * ms},
    {command::snp_shutdown_ex, 100 * ms},
    {command::df_flush, 1 * ms},
    {command::snp_df_flush, 1 * ms},
    {command::pek_gen, 20 * ms},
    {command::pdh_gen, 20 * ms},
    {command::snp_gctx_create, 1 * ms},
    {command::snp_launch_start, 5 * ms},
    {command::snp_launch_update, 40 * us},
    {command::snp_launch_finish, 10 * ms},
    {command::snp_decommission, 1 * ms},
}};
constexpr std::uint64_t typical_of_others = 20 * us;

} // namespace

std::string latency::parse(std::string_view text, latency &out)
{
    out = {};
    if (text == "typical") {
        out.kind_ = kind::typical;
        return {};
    }
    if (text == "none") {
        return {};
    }
    const auto fixed = parse_duration(text);
    if (!fixed.has_value()) {
        return formatted("'{}' is not none, typical, or a time such as 500ns, 20us, 3ms, up to "
                         "10000ms",
                         text);
    }
    out.fixed_ = *fixed;
    return {};
}

std::uint64_t latency::of(std::uint16_t id) const
{
    if (kind_ == kind::fixed) {
        return fixed_;
    }
    const auto *const found = std::ranges::find(typical, static_cast<command>(id),
                                                &std::pair<command, std::uint64_t>::first);
    return found == typical.end() ? typical_of_others : found->second;
}

} // namespace rmpopt::psp
