// SPDX-License-Identifier: GPL-2.0-or-later
// Where an option's socket may stand.
#pragma once

#include <string>
#include <string_view>

namespace rmpopt
{

/// Makes `path` free for a new socket: one that nobody listens on any more is removed. Empty
/// string when free; otherwise one line that names the option and says what is wrong and what to
/// do.
std::string claim_socket_path(std::string_view option, const std::string &path);

/// The line for a socket that could not be created, from errno.
std::string socket_error(std::string_view option, const std::string &path, int error);

} // namespace rmpopt
