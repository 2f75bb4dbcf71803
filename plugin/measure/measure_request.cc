// SPDX-License-Identifier: GPL-2.0-or-later
#include "measure/measure_request.h"

#include "base/number.h"

namespace rmpopt
{

std::string parse_measure(std::string_view text, measure_request &out)
{
    constexpr std::string_view sampled = "sampled=";
    if (text == "off") {
        out = {};
        return {};
    }
    if (text == "exact" || text == "exact+tlb") {
        out = {.mode = measure_mode::exact, .interval = 0, .tlb = text != "exact"};
        return {};
    }
    unsigned n = 0;
    const bool has_number =
        text.starts_with(sampled) && parse_number(text.substr(sampled.size()), n);
    if (!has_number || n < 2 || n > largest_interval) {
        return std::string("'").append(text).append(
            "' is not off, exact, exact+tlb or sampled=N with N from 2 to 1000000000");
    }
    out = {.mode = measure_mode::sampled, .interval = n};
    return {};
}

std::string_view mode_name(measure_mode m)
{
    switch (m) {
    case measure_mode::exact:
        return "exact";
    case measure_mode::sampled:
        return "sampled";
    case measure_mode::off:
        break;
    }
    return "off";
}

} // namespace rmpopt
