// SPDX-License-Identifier: GPL-2.0-or-later
// What firmware knows from one command to the next, and a command on its way. Handlers run with the
// firmware's and the RMP lock held.
#pragma once

#include "hw-model/firmware/common/abi.h"
#include "hw-model/firmware/common/asids.h"
#include "hw-model/firmware/common/result.h"
#include "hw-model/firmware/common/sev_guest.h"
#include "hw-model/firmware/common/snp_guest.h"
#include "hw-model/machine/machine.h"

#include <array>
#include <atomic>
#include <map>
#include <vector>

namespace rmpopt::hw
{

using enum firmware_status;

/// An SEV certificate (AMD 55766, appendix C), whose fields only the commands on certificates know.
using sev_cert = std::array<std::byte, 2084>;

/// Which keys the platform has and whose it is. Hardware keeps this in flash, through SHUTDOWN and
/// reset.
struct platform_identity {
    bool owned = false;
    std::uint32_t pek_generation = 0, pdh_generation = 0;
    sev_cert owner_pek{}, owner_oca{}; ///< as imported, when owned
};

/// What a reset of device or machine loses.
struct volatile_state {
    bool platform_init = false;
    bool platform_es = false;
    bool snp_init = false;
    bool rmp_init = false;

    // {} overlaps nothing.
    spa_range tmr{}; ///< trusted memory region of SEV-ES, {} unless INIT gave one
    spa_range nv{};  ///< non-volatile storage, {} unless INIT_EX gave one
    sev_guest_table sev_guests{};
    snp_guest_table guests{};

    asid_pool asids{};                    ///< of SEV, SEV-ES and SNP guests
    std::vector<spa_range> iommu_pages{}; ///< made firmware-owned by SNP_INIT
    std::uint64_t current_tcb = 0;
    std::uint64_t reported_tcb = 0;
    bool mask_chip_id = false, mask_chip_key = false;
    bool vlek_loaded = false;
    bool alias_check_complete = false;
    bool rapl_disabled = false;
    unsigned max_snp_asid = 0; ///< 0: ciphertext hiding is off
    std::uint64_t mitigations_verified = 0;
};

struct firmware_state : volatile_state {
    platform_identity identity;
    std::uint64_t guests_created = 0;

    /// Cores that have not written back their caches since the last command that demands it.
    std::vector<std::atomic<bool>> wbinvd_pending;
    bool tracks_wbinvd = false;

    std::uint64_t commands = 0, failed = 0;
    std::map<std::uint16_t, std::uint64_t> by_command;
    std::uint16_t last_command = 0, last_status = 0;
};

/// One command on its way.
struct firmware_call {
    machine &m;
    firmware_state &s;
    firmware_result &result;
    spa_range buffer{};      ///< where the command buffer is
    bool write_back = false; ///< the handler has changed its copy of the buffer: it is an answer
};

/// The RMP, the trusted memory region, the IOMMU's buffers.
std::vector<spa_range> own_memory_of(const machine &m, const firmware_state &s);

} // namespace rmpopt::hw
