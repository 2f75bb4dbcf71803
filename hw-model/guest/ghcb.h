// SPDX-License-Identifier: GPL-2.0-or-later
// How a guest with encrypted registers tells its hypervisor what it wants at VMGEXIT: by the GHCB,
// a shared page, or by the GHCB MSR alone (AMD 56421: GHCB page, GHCB MSR protocol, page state
// changes). Hardware knows nothing of it.
//
// Thread-safety: any thread at any time. Another CPU may write the page meanwhile; what is read is
// some mixture then, never anything outside memory.
#pragma once

#include "hw-model/base/memory_view.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace rmpopt::hw
{

struct ghcb_request {
    /// SW_EXITCODE, or of the MSR protocol GHCBInfo with `by_msr`.
    std::uint64_t code = 0;
    std::uint64_t operand = 0; ///< SW_SCRATCH, or the whole MSR

    static constexpr std::uint64_t by_msr = 1ull << 32;
};

/// Guest-physical pages of 4 KB in a row.
struct guest_pages {
    std::uint64_t gpa = 0, count = 0;

    bool operator==(const guest_pages &) const = default;
};

/// Where a guest-physical address is in system memory now; nothing when nowhere.
using gpa_to_spa = std::function<std::optional<spa_t>(std::uint64_t gpa)>;

/// The request of a guest whose GHCB MSR is `msr`. Nothing when its GHCB is not in memory.
std::optional<ghcb_request> read_ghcb(const memory_view &memory, std::uint64_t msr,
                                      const gpa_to_spa &where);

/// Pages that the request wants to become shared. Empty for any other request.
std::vector<guest_pages> pages_to_share(const memory_view &memory, const ghcb_request &request,
                                        const gpa_to_spa &where);

/// "page state change", "MSR: CPUID"; for an exit code that the guest passes on as in exit_name().
std::string ghcb_request_name(std::uint64_t code);

} // namespace rmpopt::hw
