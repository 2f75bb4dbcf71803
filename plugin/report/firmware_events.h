// SPDX-License-Identifier: GPL-2.0-or-later
// Firmware commands, and guests that come and go, as lines of the event log. Thread-safety: any
// thread.
#pragma once

#include "hw-model/firmware/firmware.h"

#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string_view>

namespace rmpopt
{

class firmware_events
{
  public:
    using sink = std::function<void(std::string_view type, nlohmann::ordered_json fields)>;

    explicit firmware_events(sink to) : to_(std::move(to)) {}

    void executed(std::uint16_t command, const hw::firmware_result &result);
    /// The device was reset.
    void reset(const hw::firmware_result &result);
    /// Tells what is held back: equal commands in a row are told as one.
    void flush();

    std::uint64_t launched() const;
    std::uint64_t ended() const;

  private:
    void tell_commands();
    void tell_guests(const hw::firmware_result &result);
    void tell_guest(const hw::guest_event &e);

    const sink to_;
    mutable std::mutex lock_;
    std::uint16_t command_ = 0, status_ = 0;
    std::uint64_t count_ = 0; ///< of command_ with status_ in a row
    std::uint64_t launched_ = 0, ended_ = 0;
};

} // namespace rmpopt
