// SPDX-License-Identifier: GPL-2.0-or-later
// Numbers in text. A sign is accepted only for types that have one.
#pragma once

#include <charconv>
#include <concepts>
#include <string_view>
#include <system_error>

namespace rmpopt
{

/// Takes the number at the front of `text` off it. False when there is none, or one that does not
/// fit.
template <std::integral T> bool take_number(std::string_view &text, T &out, int base = 10)
{
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return error == std::errc{};
}

/// All of `text` is a decimal number.
template <std::integral T> bool parse_number(std::string_view text, T &out)
{
    return take_number(text, out) && text.empty();
}

/// All of `text` is a decimal number, or a hexadecimal one with 0x.
template <std::integral T> bool parse_any_number(std::string_view text, T &out)
{
    const bool hex = text.starts_with("0x");
    text.remove_prefix(hex ? 2 : 0);
    return take_number(text, out, hex ? 16 : 10) && text.empty();
}

} // namespace rmpopt
