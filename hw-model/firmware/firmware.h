// SPDX-License-Identifier: GPL-2.0-or-later
// The firmware: what runs in the secure processor (PSP) and answers the commands of its mailbox.
// The mailbox itself, a device, is in plugin/platform/psp.
//
// The certificates that firmware exports are well-formed, but their keys and signatures are
// constant text that says so. SEV guests are measured with keys that everybody knows, and their
// memory is not encrypted.
//
// Thread-safety: execute(), reset() and snapshot() may be called from any thread and exclude each
// other. execute() takes the machine's RMP lock; the caller must not hold it.
#pragma once

#include "hw-model/machine/machine.h"
#include "hw-model/rmp/rmp_changes.h"

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

namespace rmpopt::hw
{

/// Status codes of the SEV API (AMD 55766) and the SNP firmware ABI (AMD 56860).
enum class firmware_status : std::uint16_t {
    success = 0x00,
    invalid_platform_state = 0x01,
    invalid_guest_state = 0x02,
    invalid_config = 0x03,
    invalid_length = 0x04,
    already_owned = 0x05,
    invalid_certificate = 0x06,
    policy_failure = 0x07,
    inactive = 0x08,
    invalid_address = 0x09,
    bad_signature = 0x0a,
    bad_measurement = 0x0b,
    asid_owned = 0x0c,
    invalid_asid = 0x0d,
    wbinvd_required = 0x0e,
    df_flush_required = 0x0f,
    invalid_guest = 0x10,
    invalid_command = 0x11,
    active = 0x12,
    hardware_platform = 0x13,
    unsupported = 0x15,
    invalid_param = 0x16,
    resource_limit = 0x17,
    secure_data_invalid = 0x18,
    invalid_page_size = 0x19,
    invalid_page_state = 0x1a,
    invalid_page_owner = 0x1c,
    rmp_init_required = 0x20,
    rmp_init_failed = 0x26,
};

/// Commands that the model knows, by their numbers in the mailbox.
enum class firmware_command : std::uint16_t {
    init = 0x01,
    shutdown = 0x02,
    factory_reset = 0x03,
    platform_status = 0x04,
    pek_gen = 0x05,
    pek_csr = 0x06,
    pek_cert_import = 0x07,
    pdh_cert_export = 0x08,
    pdh_gen = 0x09,
    df_flush = 0x0a,
    download_firmware = 0x0b,
    get_id = 0x0c,
    init_ex = 0x0d,
    decommission = 0x20,
    activate = 0x21,
    deactivate = 0x22,
    guest_status = 0x23,
    launch_start = 0x30,
    launch_update_data = 0x31,
    launch_update_vmsa = 0x32,
    launch_measure = 0x33,
    launch_update_secret = 0x34,
    launch_finish = 0x35,
    attestation_report = 0x36,
    send_start = 0x40,
    send_update_data = 0x41,
    send_update_vmsa = 0x42,
    send_finish = 0x43,
    send_cancel = 0x44,
    receive_start = 0x50,
    receive_update_data = 0x51,
    receive_update_vmsa = 0x52,
    receive_finish = 0x53,
    dbg_decrypt = 0x60,
    dbg_encrypt = 0x61,
    snp_init = 0x81,
    snp_platform_status = 0x83,
    snp_df_flush = 0x84,
    snp_init_ex = 0x85,
    snp_shutdown_ex = 0x86,
    snp_decommission = 0x90,
    snp_activate = 0x91,
    snp_guest_status = 0x92,
    snp_gctx_create = 0x93,
    snp_guest_request = 0x94,
    snp_activate_ex = 0x95,
    snp_launch_start = 0xa0,
    snp_launch_update = 0xa1,
    snp_launch_finish = 0xa2,
    snp_dbg_decrypt = 0xb0,
    snp_dbg_encrypt = 0xb1,
    snp_page_swap_out = 0xc0,
    snp_page_swap_in = 0xc1,
    snp_page_move = 0xc2,
    snp_page_md_init = 0xc3,
    snp_page_set_state = 0xc6,
    snp_page_reclaim = 0xc7,
    snp_page_unsmash = 0xc8,
    snp_config = 0xc9,
    snp_download_firmware_ex = 0xca,
    snp_commit = 0xcb,
    snp_vlek_load = 0xcd,
    snp_feature_info = 0xce,
};

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

/// Guest states (AMD 56860); the numbers are those that SNP_GUEST_STATUS reports.
enum class snp_guest_state : std::uint8_t { init = 0, launch = 1, running = 2 };

/// A SHA-384 digest.
using sha384_digest = std::array<std::byte, 48>;

/// A step in the life of an SNP guest.
struct guest_event {
    enum class kind : std::uint8_t { created, activated, launched, ended };

    kind what = kind::created;
    spa_t context = 0;      ///< the guest's context page, which is also its name
    std::uint32_t asid = 0; ///< 0 while the guest has none; of an ended guest: the one it had

    bool operator==(const guest_event &) const = default;
};

/// What one command did, told by its handler. A command that fails has changed nothing that is
/// listed here.
struct firmware_result {
    std::uint16_t status = 0;           ///< firmware_status, or what else a mailbox can return
    hw::rmp_changes rmp_changes{};      ///< pages that the host may write from now on, or no longer
    std::vector<guest_event> guests{};  ///< in the order in which it happened
    std::vector<spa_range> reclaimed{}; ///< pages that firmware has handed back: in state Reclaim
    std::optional<bool> snp_init{}; ///< set when SNP was initialised (true) or shut down (false)
    /// All that firmware keeps for itself from now on; set when the command changed it.
    std::optional<std::vector<spa_range>> own_memory{};
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
    /// (flash) are left as they are.
    void reset();

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
