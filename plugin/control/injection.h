// SPDX-License-Identifier: GPL-2.0-or-later
// Failures that are requested by an option or through the control socket, to test how the guest's
// kernel handles them: the next firmware commands or RMPUPDATEs fail without being executed.
//
// Thread-safety: all members may be called by any thread.
#pragma once

#include "hw-model/insn/host_insn.h"

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace rmpopt
{

struct injection_request {
    enum class kind : std::uint8_t { psp, rmpupdate, rmpopt_clear };

    kind what = kind::psp;
    std::uint16_t command = 0;         ///< psp
    std::uint32_t status = 0;          ///< psp, rmpupdate
    std::uint64_t count = 1;           ///< psp, rmpupdate: how many of them fail
    std::optional<std::uint64_t> gb{}; ///< rmpopt_clear: the region; all regions if empty
};

/// Parses "psp:COMMAND:STATUS" or "rmpupdate:STATUS", either with ":COUNT" after it. Returns an
/// empty string, or what is wrong.
std::string parse_injection(std::string_view text, injection_request &out);

/// The firmware command of a name such as "SNP_INIT_EX".
std::optional<std::uint16_t> find_firmware_command(std::string_view name);

class injections
{
  public:
    /// Makes the next `count` commands fail with `status`; a count of 0 cancels the failures.
    void arm_psp(std::uint16_t command, std::uint16_t status, std::uint64_t count);
    void arm_rmpupdate(hw::rmp_status status, std::uint64_t count);

    /// The status with which the command that is about to be executed must fail; nothing if it need
    /// not.
    std::optional<std::uint16_t> take_psp(std::uint16_t command);
    std::optional<hw::rmp_status> take_rmpupdate();

  private:
    struct failure {
        std::uint32_t status = 0;
        std::uint64_t left = 0;
        std::optional<std::uint32_t> take();
    };
    std::atomic<bool> any_rmpupdate_{false}; ///< lets RMPUPDATE skip the lock
    std::mutex lock_;
    std::map<std::uint16_t, failure> psp_;
    failure rmpupdate_;
};

} // namespace rmpopt
