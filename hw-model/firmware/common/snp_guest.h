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

    bool active() const { return asid != 0; }
    bool operator==(const snp_guest &) const = default;
};

/// Guests by the address of their context page.
using snp_guest_table = std::map<spa_t, snp_guest>;

} // namespace rmpopt::hw
