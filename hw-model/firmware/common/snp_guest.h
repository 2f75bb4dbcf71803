// SPDX-License-Identifier: GPL-2.0-or-later
// SNP guests as firmware sees them (AMD 56860).
#pragma once

#include "hw-model/base/types.h"
#include "hw-model/firmware/common/crypto.h"

#include <array>
#include <cstdint>
#include <map>

namespace rmpopt::hw
{

/// Guest states (AMD 56860); the numbers are those that SNP_GUEST_STATUS reports.
enum class snp_guest_state : std::uint8_t { init = 0, launch = 1, running = 2 };

/// Who the guest's owner says the guest is: ID block and keys of SNP_LAUNCH_FINISH.
struct snp_identity {
    std::array<std::byte, 16> family_id{}, image_id{};
    std::uint32_t guest_svn = 0;
    bool has_author = false;
    sha384_digest id_key_digest{}, author_key_digest{};

    bool operator==(const snp_identity &) const = default;
};

/// What firmware keeps in the context page. The model keeps it here, because the page is opaque:
/// only firmware may look into it.
struct snp_guest {
    snp_guest_state state = snp_guest_state::init;
    std::uint32_t asid = 0; ///< 0 until activated
    std::uint64_t policy = 0;
    std::uint64_t serial = 0; ///< counts the guests, so that their keys differ
    bool imi = false;         ///< launched with an incoming migration image
    std::array<std::byte, 16> gosvw{};
    sha384_digest launch_digest{};

    // For attestation.
    std::uint64_t agent_serial = 0; ///< of the migration agent; 0: there is none
    std::uint64_t launch_tcb = 0, launch_mitigations = 0; ///< as they were at SNP_LAUNCH_START
    snp_identity identity{};
    std::array<std::byte, 32> host_data{};
    bool vcek_disabled = false;
    /// Messages sealed with the key of each VMPL, requests and answers.
    std::array<std::uint64_t, vmpls> messages{};

    bool active() const { return asid != 0; }
    bool operator==(const snp_guest &) const = default;
};

/// Guests by the address of their context page.
using snp_guest_table = std::map<spa_t, snp_guest>;

} // namespace rmpopt::hw
