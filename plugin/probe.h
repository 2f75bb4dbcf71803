// SPDX-License-Identifier: GPL-2.0-or-later
// The option probe: QEMU is started only to find out whether it is as the plugin expects it.
#pragma once

#include <string>

namespace rmpopt
{

/// Writes what is known of each fact of qemu/layout.h to `path` as JSON, then ends QEMU: with
/// status 0 when all that the plugin needs holds, that is when `problem` is empty, else with 1.
[[noreturn]] void end_probe(const std::string &path, const std::string &problem);

} // namespace rmpopt
