// SPDX-License-Identifier: GPL-2.0-or-later
// The plugin's log: one line a message, prefixed "rmpopt: ". Thread-safe; each line is written
// with one system call, so lines of several threads do not mix.
#pragma once

#include <fmt/core.h>
#include <string>

namespace rmpopt
{

/// Sends the log to `path` from now on. Returns an empty string or what went wrong.
std::string open_log(const std::string &path);

void log_line(const std::string &text);

/// Only for start-up: says on stderr and in the log why the plugin refuses, then ends QEMU with a
/// non-zero status.
[[noreturn]] void refuse(const std::string &text);

template <class... A> void log(fmt::format_string<A...> f, A &&...args)
{
    log_line(fmt::format(f, std::forward<A>(args)...));
}

} // namespace rmpopt
