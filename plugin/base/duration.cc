// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/duration.h"

#include "base/number.h"

#include <algorithm>
#include <array>

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
    const bool is_number = take_number(text, number);
    const auto *const found = std::ranges::find(units, text, &unit::name);
    if (!is_number || found == units.end() || number > longest_duration / found->ns) {
        return std::nullopt;
    }
    return number * found->ns;
}

} // namespace rmpopt
