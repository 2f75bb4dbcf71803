// SPDX-License-Identifier: GPL-2.0-or-later
// The plugin's log: one line a message, prefixed "rmpopt: ". Thread-safe; each line is written
// with one system call, so lines of several threads do not mix.
#pragma once

#include "base/format.h"

#include <functional>
#include <string>
#include <vector>

namespace rmpopt
{

/// Sends the log to `path` from now on. Returns an empty string or what went wrong.
std::string open_log(const std::string &path);

void log_line(const std::string &text);

/// The first lines of the log, for the report; later ones are only in the log.
std::vector<std::string> logged_lines();

/// Says on stderr and in the log why the plugin cannot go on, has the last report written, then
/// ends QEMU with a non-zero status.
[[noreturn]] void refuse(const std::string &text);

/// What refuse() calls before it ends QEMU; any thread may be the caller.
void before_refusal(std::function<void()> action);

template <class... A> void log(fmt::format_string<A...> f, A &&...args)
{
    log_line(formatted(f, std::forward<A>(args)...));
}

} // namespace rmpopt
