// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>

namespace rmpopt
{

/// Where the guest was when something happened. Valid only while that is being told.
struct place {
    std::optional<unsigned> cpu;
    std::uint64_t (*rip_of)(const void *) = nullptr; ///< finding out costs, so only when needed
    const void *insn = nullptr;

    std::optional<std::uint64_t> rip() const
    {
        return rip_of == nullptr ? std::nullopt : std::optional(rip_of(insn));
    }
};

} // namespace rmpopt
