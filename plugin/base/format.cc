// SPDX-License-Identifier: GPL-2.0-or-later
#define FMT_HEADER_ONLY // the plugin must load into a QEMU that has another fmt, or none
#include "base/format.h"

#include <fmt/format.h>

namespace rmpopt
{

std::string format_values(fmt::string_view text, fmt::format_args values)
{
    return fmt::vformat(text, values);
}

} // namespace rmpopt
