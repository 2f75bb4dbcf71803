// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>

namespace rmpopt
{

/// strict: also the rule that a host mapping of 2 MB must not reach an assigned page.
enum class enforcement : std::uint8_t { off, on, strict };

} // namespace rmpopt
