// SPDX-License-Identifier: GPL-2.0-or-later
// The paths of the unix sockets that options name. Thread-safety: any thread.
#pragma once

#include <string>
#include <string_view>

namespace rmpopt
{

/// Makes `path` available for a new socket. Removes a socket on which nobody listens any more.
/// Returns an empty string, or one line that names the option and says what is wrong and what to
/// do.
std::string claim_socket_path(std::string_view option, const std::string &path);

/// The line that says why a socket could not be created. `error` is an errno.
std::string socket_error(std::string_view option, const std::string &path, int error);

} // namespace rmpopt
