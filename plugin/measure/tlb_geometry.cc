// SPDX-License-Identifier: GPL-2.0-or-later
#include "measure/tlb_geometry.h"

#include "base/number.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>

namespace rmpopt
{

namespace
{

constexpr unsigned most_l1 = 1024, most_l2 = 65536;

bool take(std::string_view &text, char c)
{
    const bool there = !text.empty() && text.front() == c;
    text.remove_prefix(there ? 1 : 0);
    return there;
}

bool is_sensible(const tlb_geometry &g)
{
    return g.l1_entries >= 1 && g.l1_entries <= most_l1 && g.l2_entries <= most_l2 &&
           g.l2_ways >= 1 && g.l2_entries % g.l2_ways == 0 &&
           (g.l2_entries == 0 || std::has_single_bit(g.l2_entries / g.l2_ways));
}

std::optional<tlb_geometry> parse_sizes(std::string_view text)
{
    tlb_geometry g{.name = std::string(text), .source = "as asked for"};
    if (!take_number(text, g.l1_entries) || !take(text, '/') || !take_number(text, g.l2_entries)) {
        return std::nullopt;
    }
    if (g.l2_entries != 0 && !(take(text, 'x') && take_number(text, g.l2_ways))) {
        return std::nullopt;
    }
    return text.empty() && is_sensible(g) ? std::optional(g) : std::nullopt;
}

} // namespace

tlb_geometry tlb_geometry::share_of(unsigned threads) const
{
    tlb_geometry share = *this;
    const unsigned parts = std::bit_ceil(std::max(threads, 1u)); // sets stay a power of two
    share.l1_entries = std::max(l1_entries / std::max(threads, 1u), 1u);
    share.l2_entries = l2_entries / l2_ways >= parts ? l2_entries / parts : l2_entries;
    return share;
}

std::span<const tlb_geometry> tlb_presets()
{
    static const std::array<tlb_geometry, 3> presets{{
        {"zen3", 64, 2048, 16, "entries: AMD 56665, Software Optimization Guide for family 19h"},
        {"zen4", 72, 3072, 24, "entries: AMD 57647, Software Optimization Guide for Zen 4"},
        {"zen5", 96, 4096, 16, "entries: AMD 58455, Software Optimization Guide for Zen 5"},
    }};
    return presets;
}

std::string parse_tlb(std::string_view text, tlb_geometry &out)
{
    const auto preset = std::ranges::find(tlb_presets(), text, &tlb_geometry::name);
    const auto sizes = preset != tlb_presets().end() ? std::optional(*preset) : parse_sizes(text);
    if (!sizes.has_value()) {
        return std::string("'").append(text).append(
            "' is not zen3, zen4, zen5 or L1/L2xWAYS such as 64/2048x16, with a power of two "
            "of sets");
    }
    out = *sizes;
    return {};
}

} // namespace rmpopt
