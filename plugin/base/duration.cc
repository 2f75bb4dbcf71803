// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/duration.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace rmpopt
{

std::optional<std::uint64_t> parse_duration(std::string_view text)
{
    struct unit {
        std::string_view name;
        std::uint64_t ns;
    };
    constexpr std::array<unit, 3> units{{{"ns", 1}, {"us", 1'000}, {"ms", 1'000'000}}};
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const std::string_view rest(end, static_cast<std::size_t>(text.data() + text.size() - end));
    const auto *const found = std::ranges::find(units, rest, &unit::name);
    if (error != std::errc{} || found == units.end() || number > longest_duration / found->ns) {
        return std::nullopt;
    }
    return number * found->ns;
}

} // namespace rmpopt
