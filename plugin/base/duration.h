// SPDX-License-Identifier: GPL-2.0-or-later
// Times of the guest as people write them: 500ns, 20us, 3ms.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace rmpopt
{

/// The longest that is accepted, in nanoseconds.
inline constexpr std::uint64_t longest_duration = 10'000'000'000;

/// In nanoseconds; nothing when `text` is no whole number with a unit, or too long.
std::optional<std::uint64_t> parse_duration(std::string_view text);

} // namespace rmpopt
