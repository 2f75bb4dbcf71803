// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/guest/guest_msr.h"

#include "hw-model/guest/vmsa.h"
#include "hw-model/machine/msr.h"

namespace rmpopt::hw
{

guest_msr guest_msr_of(std::uint32_t index, bool es)
{
    constexpr std::uint32_t msr_ghcb = 0xc0010130;
    return index == msr::sev_status  ? guest_msr::sev_status
           : es && index == msr_ghcb ? guest_msr::ghcb
                                     : guest_msr::none;
}

std::uint64_t sev_status_of_guest(bool es, std::uint64_t features)
{
    // Bit 2 is SNP, which is bit 0 of SEV_FEATURES; the other features follow in the same order.
    constexpr std::uint64_t sev = 1u << 0, encrypted_state = 1u << 1;
    constexpr unsigned from_features = 2;
    return sev | (es ? encrypted_state | features << from_features : 0);
}

} // namespace rmpopt::hw
