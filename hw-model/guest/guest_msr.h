// SPDX-License-Identifier: GPL-2.0-or-later
// MSRs that a guest with encrypted memory has of its own, whatever its hypervisor intercepts (APM
// vol. 2, 15.34.10 and 15.35.7).
//
// Thread-safety: pure functions.
#pragma once

#include <cstdint>

namespace rmpopt::hw
{

enum class guest_msr : std::uint8_t {
    none,       ///< as for any other guest
    sev_status, ///< C001_0131, read-only
    ghcb,       ///< C001_0130, of SEV-ES guests; the VMCB holds it
};

/// `es`: the guest's registers are encrypted, too.
guest_msr guest_msr_of(std::uint32_t index, bool es);

/// SEV_STATUS. `features`: SEV_FEATURES of the VMSA; 0 without one.
std::uint64_t sev_status_of_guest(bool es, std::uint64_t features);

} // namespace rmpopt::hw
