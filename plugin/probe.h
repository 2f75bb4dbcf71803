// SPDX-License-Identifier: GPL-2.0-or-later
// The option probe: QEMU is started only to check whether its internals are as the plugin expects.
#pragma once

#include <string>

namespace rmpopt
{

/// Writes the result for each fact of qemu/layout.h to `path` as JSON, then ends QEMU. The exit
/// status is 0 if all needed facts hold, that is if `problem` is empty, and 1 otherwise.
[[noreturn]] void end_probe(const std::string &path, const std::string &problem);

} // namespace rmpopt
