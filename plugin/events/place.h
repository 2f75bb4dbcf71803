// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>

namespace rmpopt
{

/// The vCPU and the instruction that caused an event. Valid only while the event is being reported.
struct place {
    std::optional<unsigned> cpu;
    /// Gets RIP from `insn`. Called only if needed, because it is slow.
    std::uint64_t (*rip_of)(const void *) = nullptr;
    const void *insn = nullptr;

    std::optional<std::uint64_t> rip() const
    {
        return rip_of == nullptr ? std::nullopt : std::optional(rip_of(insn));
    }
};

} // namespace rmpopt
