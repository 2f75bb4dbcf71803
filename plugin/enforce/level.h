// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>

namespace rmpopt
{

/// How much of the RMP check is enforced. strict adds the rule that a write through a 2 MB mapping
/// of the host faults when the mapping covers an assigned page.
enum class enforcement : std::uint8_t { off, on, strict };

} // namespace rmpopt
