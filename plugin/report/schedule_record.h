// SPDX-License-Identifier: GPL-2.0-or-later
// What happened to the guest in which order and when. As one number: two runs of a deterministic
// machine are the same if their numbers are. As a file of all events: it tells where two runs part.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

namespace rmpopt
{

enum class happening : std::uint32_t {
    exception = 1, ///< or interrupt, delivered to a vCPU; operand: RIP of the handler
    instruction,   ///< emulated; operands: what it was given and what came of it
    command,       ///< of the secure processor; operands: command, status
    started,       ///< INIT and SIPI
    reset,         ///< of the machine or the secure processor
};

class schedule_record
{
  public:
    /// One event, as it is in the file (little-endian).
    struct event {
        std::uint64_t when; ///< nanoseconds of the guest's clock
        happening what;
        std::uint32_t cpu;
        std::array<std::uint64_t, 3> operands;
    };
    static_assert(sizeof(event) == 40);

    struct summary {
        std::uint64_t hash = 0;
        std::uint64_t events = 0;
    };

    /// Also writes the events to a file; before the first one. Returns an empty string, or what is
    /// wrong.
    std::string open_file(const std::string &path);

    /// Only one thread at a time.
    void add(const event &e);

    /// Writes what is buffered. Returns false if the file is incomplete.
    bool finish_file();

    /// Any thread. While events are added, the two numbers may not belong together.
    summary so_far() const { return {hash_.load(), events_.load()}; }

  private:
    struct closer {
        void operator()(std::FILE *f) const { std::fclose(f); }
    };

    std::atomic<std::uint64_t> hash_{0xcbf29ce484222325}; // FNV-1a
    std::atomic<std::uint64_t> events_{0};
    std::unique_ptr<std::FILE, closer> file_;
};

} // namespace rmpopt
