// SPDX-License-Identifier: GPL-2.0-or-later
// Firmware's view of an RMP entry: the page states of the SEV-SNP firmware ABI (AMD 56860). The
// CPU knows only owner, immutable and validated; the finer states are a convention of firmware.
#pragma once

#include "hw-model/rmp/rmp_entry.h"

namespace rmpopt::hw
{

enum class page_state : std::uint8_t {
    hypervisor,
    hv_fixed,
    reclaim,
    firmware,
    firmware_iommu, ///< written by the IOMMU: logs, completion-wait page
    context,
    metadata,
    pre_guest,
    pre_swap,
    guest_invalid,
    guest_valid,
};

/// GPA field of a firmware_iommu entry: frame 1. Frame 0 is plain firmware, higher is metadata.
inline constexpr std::uint64_t firmware_iommu_gpa = page_4k;

page_state state_of(const rmp_entry &entry);

/// Entries as firmware writes them; its own pages carry the lock bit, as seen on hardware.
rmp_entry hv_fixed_entry();
rmp_entry firmware_entry();
rmp_entry firmware_iommu_entry();
rmp_entry context_entry();
rmp_entry metadata_entry();

} // namespace rmpopt::hw
