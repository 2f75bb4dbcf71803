// SPDX-License-Identifier: GPL-2.0-or-later
// How stores are to be counted.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rmpopt
{

enum class measure_mode : std::uint8_t { off, exact, sampled };

struct measure_request {
    measure_mode mode = measure_mode::off;
    unsigned interval = 0; ///< sampled: one in so many executions of a block, at least 2
    bool tlb = false;      ///< exact: model the TLBs too

    bool operator==(const measure_request &) const = default;
};

inline constexpr unsigned largest_interval = 1'000'000'000;

/// "off", "exact", "exact+tlb" or "sampled=N". Returns an empty string or what is wrong, without a
/// prefix.
std::string parse_measure(std::string_view text, measure_request &out);
std::string_view mode_name(measure_mode m);

} // namespace rmpopt
