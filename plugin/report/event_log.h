// SPDX-License-Identifier: GPL-2.0-or-later
// What happened, in order: one JSON object a line, {"seq", "t", "type", ...}. The newest are kept
// in memory, within a bound; all of them can be written to a file.
//
// Thread-safety: add() and read() may be called by any thread; they wait for each other only, never
// for a file or a reader. open_file() and write_file() belong to one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace rmpopt
{

class event_log
{
  public:
    /// Bytes of lines that are kept.
    static constexpr std::size_t default_bound = 4u << 20;

    explicit event_log(std::size_t bound = default_bound) : bound_(bound) {}
    event_log(const event_log &) = delete;
    event_log &operator=(const event_log &) = delete;
    ~event_log();

    /// `ns`: guest time since Linux took over. `fields` is an object.
    void add(std::uint64_t ns, std::string_view type, const nlohmann::ordered_json &fields);

    struct reading {
        std::vector<std::string> lines; ///< each with its newline
        std::uint64_t next = 1;         ///< sequence number to go on from
        std::uint64_t lost = 0;         ///< lines from `since` on that are not kept any more
    };
    /// Up to `most` lines from sequence number `since` on; numbers start with 1.
    reading read(std::uint64_t since, std::size_t most) const;

    std::size_t bytes() const;

    /// Truncates `path`. Returns an empty string or why it cannot be written.
    std::string open_file(const std::string &path);
    /// Appends what is new. Nothing is buffered afterwards: it survives the end of the process.
    /// A file that cannot be written any more is given up; false at that time.
    bool write_file();

  private:
    const std::size_t bound_;
    mutable std::mutex lock_;
    std::deque<std::string> lines_;
    std::uint64_t first_ = 1; ///< sequence number of lines_.front()
    std::size_t bytes_ = 0;

    int file_ = -1;
    std::uint64_t written_ = 1; ///< the next for the file
};

} // namespace rmpopt
