// SPDX-License-Identifier: GPL-2.0-or-later
// What happened to the guest in which order and when, as one number: two runs of a deterministic
// machine are the same if their numbers are.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace rmpopt
{

enum class happening : std::uint8_t {
    exception = 1, ///< or interrupt, delivered to a vCPU
    instruction,   ///< emulated
    command,       ///< of the secure processor
    started,       ///< INIT and SIPI
    reset,         ///< of the machine or the secure processor
};

class schedule_record
{
  public:
    struct summary {
        std::uint64_t hash = 0;
        std::uint64_t events = 0;
    };

    /// Adds an event at `when`, in nanoseconds of the guest's clock. Only one thread at a time.
    void add(std::uint64_t when, happening what, unsigned cpu,
             const std::array<std::uint64_t, 3> &operands = {});

    /// Any thread. While events are added, the two numbers may not belong together.
    summary so_far() const { return {hash_.load(), events_.load()}; }

  private:
    std::atomic<std::uint64_t> hash_{0xcbf29ce484222325}; // FNV-1a
    std::atomic<std::uint64_t> events_{0};
};

} // namespace rmpopt
