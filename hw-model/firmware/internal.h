// SPDX-License-Identifier: GPL-2.0-or-later
// What the command groups of the firmware model share. Every handler runs with the firmware's and
// the RMP lock held.
#pragma once

#include "hw-model/firmware/asids.h"
#include "hw-model/firmware/command.h"
#include "hw-model/firmware/firmware.h"
#include "hw-model/firmware/sev/certificate.h"
#include "hw-model/firmware/sev/guest.h"
#include "hw-model/firmware/snp/guest.h"
#include "hw-model/firmware/snp/page_state.h"

#include <array>
#include <cstring>
#include <span>
#include <vector>

namespace rmpopt::hw
{

using enum firmware_status;

/// Firmware version as all platform status commands report it.
inline constexpr std::uint8_t api_major = 1, api_minor = 55, api_build = 25;

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

    spa_range tmr{}; ///< trusted memory region of SEV-ES, empty unless INIT gave one
    spa_range nv{};  ///< non-volatile storage, empty unless INIT_EX gave one
    sev_guest_table sev_guests{};
    snp_guest_table guests{};

    asid_owners asids{};                  ///< of SEV, SEV-ES and SNP guests
    std::vector<spa_range> iommu_pages{}; ///< made firmware-owned by SNP_INIT
    std::uint64_t current_tcb = 0;
    std::uint64_t reported_tcb = 0;
    bool mask_chip_id = false, mask_chip_key = false;
    bool vlek_loaded = false;
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

// asids.cc
/// The ASID is one of `first`..`last`, has no owner and was flushed since it had one.
firmware_status check_free_asid(const firmware_call &c, std::uint32_t asid, std::uint32_t first,
                                std::uint32_t last);
/// The guest of `asid` is gone. Nobody gets the ASID before WBINVD on all cores and a flush.
void give_back_asid(firmware_call &c, std::uint32_t asid);
/// From now on every core has to write back its caches before a flush.
void require_wbinvd(firmware_call &c);
/// DF_FLUSH and SNP_DF_FLUSH on an initialised platform.
firmware_status flush_asids(firmware_call &c);

// snp/platform.cc
/// Reads a page of ranges. They may be located where there is no RMP entry (MMIO); one that leaves
/// the address space is an error.
firmware_status read_range_list(const firmware_call &c, spa_t list, std::vector<spa_range> &out);
std::uint64_t firmware_tcb(const cpu_model &cpu);

// snp/pages.cc: page states as commands see them
/// The entry that governs the page: its own, or the 2 MB entry that it is part of.
rmp_entry governing_entry(const machine &m, spa_t page);
/// True for pages that firmware itself needs: RMP, trusted memory region, non-volatile storage.
bool in_use_by_firmware(const firmware_call &c, spa_t page);
/// Whether firmware may write `bytes` at `spa`. Before SNP_INIT any RAM will do. After it the pages
/// must be firmware-owned or, unless `firmware_only`, the hypervisor's.
firmware_status check_output(const firmware_call &c, spa_t spa, std::uint64_t bytes,
                             bool firmware_only);
/// A 4 KB firmware page that firmware itself does not use: address, state, size.
firmware_status check_firmware_page(const firmware_call &c, spa_t page);
/// Writes a status to a firmware-owned page, which is then handed back in state Reclaim.
firmware_status write_status(firmware_call &c, spa_t out, std::span<const std::byte> status);
/// True when every page of the range is in state `wanted`. A page without an RMP entry is the
/// hypervisor's.
bool all_pages_are(const machine &m, spa_range range, page_state wanted);

// snp/rmp_init.cc
/// Rebuilds the RMP: all memory the hypervisor's, `fixed` and what is no RAM HV-fixed, the RMP's
/// own pages and the IOMMU's buffers firmware-owned. Returns the IOMMU pages it marked.
/// Precondition: rmp_is_usable().
std::vector<spa_range> rebuild_rmp(machine &m, std::vector<spa_range> fixed, rmp_changes &changes);
/// The RMP has entries and covers its own memory.
bool rmp_is_usable(const machine &m);
/// Calls f for each page of each range that has an RMP entry.
template <class F>
void for_each_covered_page(const rmp_table &rmp, const std::vector<spa_range> &ranges, F f)
{
    for (const rmp_extent &e : rmp.extents()) {
        for (const spa_range &r : ranges) {
            const spa_t first = std::max(align_down(r.base, page_4k), e.covered);
            const spa_t last = std::min(r.end(), e.covered + e.covered_bytes);
            for (spa_t p = first; p < last; p += page_4k) {
                f(p);
            }
        }
    }
}

} // namespace rmpopt::hw
