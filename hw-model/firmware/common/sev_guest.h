// SPDX-License-Identifier: GPL-2.0-or-later
// SEV and SEV-ES guests as firmware sees them (AMD 55766, chapters on guest context and policy).
#pragma once

#include "hw-model/firmware/common/crypto.h"

#include <cstdint>
#include <map>

namespace rmpopt::hw
{

/// As GUEST_STATUS reports them. The states of migration (4 and above) are missing, because SEND_*
/// and RECEIVE_* are unsupported.
enum class sev_guest_state : std::uint8_t { launch_update = 1, launch_secret = 2, running = 3 };

namespace sev_policy
{
inline constexpr std::uint32_t no_debug = 1u << 0;
inline constexpr std::uint32_t no_key_sharing = 1u << 1;
inline constexpr std::uint32_t es = 1u << 2;
inline constexpr std::uint32_t reserved = 0xffc0;
} // namespace sev_policy

struct sev_guest {
    std::uint32_t handle = 0;
    std::uint32_t policy = 0;
    std::uint32_t asid = 0; ///< 0: not active
    sev_guest_state state = sev_guest_state::launch_update;
    sha256_stream content{}; ///< its digest is the launch digest
    sha256_digest measure{}; ///< what LAUNCH_MEASURE answered

    bool is_es() const { return (policy & sev_policy::es) != 0; }
};

/// By handle; 0 is no handle.
using sev_guest_table = std::map<std::uint32_t, sev_guest>;

} // namespace rmpopt::hw
