// SPDX-License-Identifier: GPL-2.0-or-later
// What a firmware command did. It is all that a caller of the firmware hears.
#pragma once

#include "hw-model/rmp/rmp_changes.h"

#include <optional>
#include <vector>

namespace rmpopt::hw
{

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

} // namespace rmpopt::hw
