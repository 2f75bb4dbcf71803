// SPDX-License-Identifier: GPL-2.0-or-later
// Firmware commands, and guests that come and go, as events. Thread-safety: any thread.
#pragma once

#include "hw-model/firmware/firmware.h"

#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

namespace rmpopt
{

class firmware_events
{
  public:
    using sink = std::function<void(std::string_view type, nlohmann::ordered_json fields)>;

    explicit firmware_events(sink to) : to_(std::move(to)) {}

    /// A command has been executed; `guests` are those that exist now.
    void executed(std::uint16_t command, std::uint16_t status,
                  const std::vector<hw::snp_guest_info> &guests);
    /// Tells what is held back: equal commands in a row are told as one.
    void flush();
    /// Machine reset: guests are gone without a command.
    void forget();

    std::uint64_t launched() const;
    std::uint64_t ended() const;

  private:
    void compare(const std::vector<hw::snp_guest_info> &guests);
    void tell_commands();
    void tell_guest(std::string_view action, hw::spa_t context, std::uint32_t asid);

    const sink to_;
    mutable std::mutex lock_;
    std::uint16_t command_ = 0, status_ = 0;
    std::uint64_t count_ = 0; ///< of command_ with status_ in a row
    std::map<hw::spa_t, hw::snp_guest_info> guests_;
    std::uint64_t launched_ = 0, ended_ = 0;
};

} // namespace rmpopt
