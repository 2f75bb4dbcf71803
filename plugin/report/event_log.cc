// SPDX-License-Identifier: GPL-2.0-or-later
#include "report/event_log.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace rmpopt
{

namespace
{

/// To the microsecond.
double seconds(std::uint64_t ns)
{
    return std::round(static_cast<double>(ns) / 1e3) / 1e6;
}

bool write_all(int fd, std::string_view text)
{
    while (!text.empty()) {
        const ssize_t n = write(fd, text.data(), text.size());
        if (n < 0 && errno != EINTR) {
            return false;
        }
        text.remove_prefix(n < 0 ? 0 : static_cast<std::size_t>(n));
    }
    return true;
}

} // namespace

event_log::~event_log()
{
    if (file_ >= 0) {
        close(file_);
    }
}

void event_log::add(std::uint64_t ns, std::string_view type, const nlohmann::ordered_json &fields)
{
    const std::scoped_lock guard(lock_);
    nlohmann::ordered_json line{
        {"seq", first_ + lines_.size()}, {"t", seconds(ns)}, {"type", type}};
    line.update(fields);
    // Text from the guest or from firmware need not be UTF-8.
    lines_.push_back(line.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + "\n");
    bytes_ += lines_.back().size();
    while (bytes_ > bound_ && lines_.size() > 1) {
        bytes_ -= lines_.front().size();
        lines_.pop_front();
        ++first_;
    }
}

event_log::reading event_log::read(std::uint64_t since, std::size_t most) const
{
    const std::scoped_lock guard(lock_);
    reading r;
    since = std::max<std::uint64_t>(since, 1);
    r.lost = since < first_ ? first_ - since : 0;
    const std::uint64_t end = first_ + lines_.size();
    for (r.next = std::max(since, first_); r.next < end && r.lines.size() < most; ++r.next) {
        r.lines.push_back(lines_[r.next - first_]);
    }
    r.next = std::min(r.next, end);
    return r;
}

std::size_t event_log::bytes() const
{
    const std::scoped_lock guard(lock_);
    return bytes_;
}

std::string event_log::open_file(const std::string &path)
{
    file_ = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    return file_ >= 0 ? "" : "option events: cannot write " + path + ": " + std::strerror(errno);
}

bool event_log::write_file()
{
    constexpr std::size_t at_once = 1000;
    reading r;
    do {
        r = read(written_, at_once);
        written_ = r.next;
        std::string text;
        for (const std::string &line : r.lines) {
            text += line;
        }
        if (file_ >= 0 && !write_all(file_, text)) {
            close(file_);
            file_ = -1;
            return false;
        }
    } while (r.lines.size() == at_once);
    return true;
}

} // namespace rmpopt
