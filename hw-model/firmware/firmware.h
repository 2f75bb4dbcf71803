// SPDX-License-Identifier: GPL-2.0-or-later
// The firmware: what runs in the secure processor (PSP) and answers the commands of its mailbox.
// The mailbox itself, a device, is in plugin/platform/psp.
//
// The certificates of SEV that firmware exports are well-formed, but their keys and signatures are
// constant text that says so. SEV guests are measured with keys that everybody knows, and their
// memory is not encrypted. Attestation reports of SNP guests are signed, with a key that everybody
// can derive, too.
//
// Thread-safety: execute(), reset() and snapshot() may be called from any thread and exclude each
// other. execute() takes the machine's RMP lock; the caller must not hold it.
#pragma once

#include "hw-model/firmware/common/abi.h"
#include "hw-model/firmware/common/result.h"
#include "hw-model/machine/machine.h"

#include <map>
#include <memory>
#include <mutex>
#include <string_view>

namespace rmpopt::hw
{

/// "SNP_INIT_EX" and so on; "unknown" for numbers outside the list above.
std::string_view firmware_command_name(std::uint16_t command);

/// What the report shows.
struct firmware_snapshot {
    bool platform_init = false; ///< after INIT, until SHUTDOWN
    bool snp_init = false;      ///< after SNP_INIT(_EX), until SNP_SHUTDOWN_EX
    bool rmp_init = false;
    std::uint64_t commands = 0;
    std::uint64_t failed = 0; ///< commands that answered anything but success
    std::uint16_t last_command = 0;
    std::uint16_t last_status = 0;
    std::size_t guests = 0; ///< SNP guest contexts, activated or not
    /// How often each command was called, by number; without those that never were.
    std::map<std::uint16_t, std::uint64_t> by_command;
};

struct firmware_state;

class firmware
{
  public:
    struct settings {
        /// The owner reports every WBINVD through note_wbinvd(). Otherwise firmware cannot know and
        /// assumes that caches are written back.
        bool tracks_wbinvd = false;
    };

    explicit firmware(machine &m) : firmware(m, settings{}) {}
    firmware(machine &m, settings s);
    ~firmware();
    firmware(const firmware &) = delete;
    firmware &operator=(const firmware &) = delete;

    /// Runs one mailbox command to its end. `buffer` is the system physical address that the
    /// mailbox was given (the C-bit is ignored). Whatever memory holds, at worst the command
    /// fails; then it has changed nothing but, where the ABI says so, a length in its buffer or
    /// the values of a CPUID page, or a damaged image of INIT_EX.
    firmware_result execute(std::uint16_t command, spa_t buffer);

    /// Device or machine reset: everything uninitialised. The RMP and the platform's identity
    /// (flash) are left as they are. All guests have ended; the result tells so.
    firmware_result reset();

    /// A logical CPU executed WBINVD or WBNOINVD. Lock-free, for vCPU threads.
    void note_wbinvd(unsigned thread);

    firmware_snapshot snapshot() const;

  private:
    friend struct firmware_inside; ///< tests compare what a result tells with what is true

    machine &machine_;
    mutable std::mutex lock_; ///< taken before the RMP lock
    std::unique_ptr<firmware_state> state_;
};

} // namespace rmpopt::hw
