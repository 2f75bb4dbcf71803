// SPDX-License-Identifier: GPL-2.0-or-later
// Text from values, with the syntax of fmt::format. The work is done in format.cc alone: fmt has no
// static library to link with, and to compile all of it into each file that formats something took
// half of the time of a build. Thread-safe.
#pragma once

#if __has_include(<fmt/base.h>)
#include <fmt/base.h> // of newer versions; their core.h includes everything
#else
#include <fmt/core.h>
#endif
#include <string>

namespace rmpopt
{

/// The values are those of fmt::make_format_args.
std::string format_values(fmt::string_view text, fmt::format_args values);

/// `text` is checked against the types of `values` by the compiler.
template <class... A> std::string formatted(fmt::format_string<A...> text, A &&...values)
{
    return format_values(text, fmt::make_format_args(values...));
}

} // namespace rmpopt
