// SPDX-License-Identifier: GPL-2.0-or-later
// How long the secure processor takes for a command, in the guest's time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rmpopt::psp
{

/// By the command. AMD publishes no durations.
class latency
{
  public:
    /// Parses "none", "typical", or a number with a unit such as 20us. Returns an empty string, or
    /// what is wrong and what is allowed.
    static std::string parse(std::string_view text, latency &out);

    /// Nanoseconds; 0: the answer comes as soon as the command has taken effect.
    std::uint64_t of(std::uint16_t command) const;

  private:
    enum class kind : std::uint8_t { fixed, typical } kind_ = kind::fixed;
    std::uint64_t fixed_ = 0;
};

} // namespace rmpopt::psp
