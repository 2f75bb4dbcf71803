// SPDX-License-Identifier: GPL-2.0-or-later
// How a firmware command is written down: its buffer as the ABI lays it out, its checks as the ABI
// lists them.
#pragma once

#include "hw-model/base/types.h"
#include "hw-model/firmware/common/abi.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>

namespace rmpopt::hw
{

#pragma pack(push, 1)
/// An address in a command buffer. A host that encrypts its memory may set the C-bit in it, which
/// firmware ignores.
struct paddr {
    std::uint64_t raw = 0;

    constexpr operator spa_t() const { return raw & ~c_bit; }
};
#pragma pack(pop)

/// Bytes of a command buffer that must be zero.
template <std::size_t n> using reserved_bytes = std::array<std::byte, n>;

template <std::size_t... n> constexpr bool reserved_zero(const reserved_bytes<n> &...fields)
{
    const auto is_zero = [](const auto &field) {
        return std::ranges::all_of(field, [](std::byte b) { return b == std::byte{0}; });
    };
    return (is_zero(fields) && ...);
}

/// One line of a command's list of checks: what must hold, and the status when it does not.
constexpr firmware_status must(bool holds, firmware_status otherwise)
{
    return holds ? firmware_status::success : otherwise;
}

/// Takes the steps of a command in their order until one fails, and returns its status. A step is a
/// status, or a function that returns one or nothing; functions are not called after a failure, so
/// they may rely on the steps before them.
template <class... Step> firmware_status in_order(const Step &...steps)
{
    firmware_status status = firmware_status::success;
    const auto passes = [&status](const auto &step) {
        if constexpr (std::is_same_v<decltype(step), const firmware_status &>) {
            status = step;
        } else if constexpr (std::is_void_v<decltype(step())>) {
            step();
        } else {
            status = step();
        }
        return status == firmware_status::success;
    };
    static_cast<void>((passes(steps) && ...));
    return status;
}

} // namespace rmpopt::hw
