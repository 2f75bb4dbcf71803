// SPDX-License-Identifier: GPL-2.0-or-later
// What the command groups of the firmware model share. Every handler runs with the firmware's and
// the RMP lock held.
#pragma once

#include "hw-model/firmware/asids.h"
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

/// Firmware version as all platform status commands report it.
inline constexpr std::uint8_t api_major = 1, api_minor = 55, api_build = 25;

/// Addresses may carry the C-bit of a host that encrypts its memory (CPUID 8000_001F EBX[5:0]).
inline constexpr spa_t c_bit = 1ull << 51;

inline constexpr std::size_t max_command_bytes = 64;

/// Flag of INIT and INIT_EX: SEV-ES.
inline constexpr std::uint32_t init_es = 1u << 0;

/// What hardware keeps in flash, through SHUTDOWN and reset: which keys the platform has, whose it
/// is.
struct platform_identity {
    bool owned = false;
    std::uint32_t pek_generation = 0, pdh_generation = 0;
    sev_cert owner_pek{}, owner_oca{}; ///< as imported, when owned
};

struct firmware_state {
    bool platform_init = false;
    bool platform_es = false;
    bool snp_init = false;
    bool rmp_init = false;

    spa_range tmr{}; ///< trusted memory region of SEV-ES, empty unless INIT gave one
    spa_range nv{};  ///< non-volatile storage, empty unless INIT_EX gave one
    platform_identity identity;
    sev_guest_table sev_guests;

    asid_owners asids;                  ///< of SEV, SEV-ES and SNP guests
    std::vector<spa_range> iommu_pages; ///< made firmware-owned by SNP_INIT
    std::uint64_t current_tcb = 0;
    std::uint64_t reported_tcb = 0;
    bool mask_chip_id = false, mask_chip_key = false;
    bool vlek_loaded = false;

    snp_guest_table guests;
    std::uint64_t guests_created = 0;

    /// Cores that have not written back their caches since the last command that demands it.
    std::vector<std::atomic<bool>> wbinvd_pending;

    std::uint64_t commands = 0, failed = 0;
    std::map<std::uint16_t, std::uint64_t> by_command;
    std::uint16_t last_command = 0, last_status = 0;

    bool tracks_wbinvd = false;
};

/// One command on its way: the machine, the firmware's state and a copy of the command buffer.
struct firmware_call {
    machine &m;
    firmware_state &s;
    firmware_result &result;
    spa_t buffer_spa = 0;
    std::span<std::byte> buffer{};
    bool write_back = false; ///< handler changed the buffer, which goes back to memory

    template <class T> T get(std::size_t offset) const
    {
        T v;
        std::memcpy(&v, buffer.data() + offset, sizeof v);
        return v;
    }
    spa_t get_address(std::size_t offset) const { return get<spa_t>(offset) & ~c_bit; }
    template <class T> void put(std::size_t offset, T v)
    {
        std::memcpy(buffer.data() + offset, &v, sizeof v);
    }
    bool is_zero(std::size_t offset, std::size_t bytes) const;
};

/// The RMP, the trusted memory region, the IOMMU's buffers.
std::vector<spa_range> own_memory_of(const machine &m, const firmware_state &s);

using command_handler = firmware_status (*)(firmware_call &);

// psp_platform.cc: SEV platform commands
firmware_status platform_init(firmware_call &c);
firmware_status platform_init_ex(firmware_call &c); // psp_nv.cc
firmware_status platform_shutdown(firmware_call &c);
firmware_status platform_status(firmware_call &c);
firmware_status df_flush(firmware_call &c);
firmware_status download_firmware(firmware_call &c);
firmware_status get_id(firmware_call &c);

// psp_certs.cc: keys and certificates of the platform
firmware_status factory_reset(firmware_call &c);
firmware_status pek_gen(firmware_call &c);
firmware_status pek_csr(firmware_call &c);
firmware_status pek_cert_import(firmware_call &c);
firmware_status pdh_gen(firmware_call &c);
firmware_status pdh_cert_export(firmware_call &c);

// psp_legacy_guest.cc: SEV and SEV-ES guests
firmware_status launch_start(firmware_call &c);
firmware_status activate(firmware_call &c);
firmware_status deactivate(firmware_call &c);
firmware_status decommission(firmware_call &c);
firmware_status guest_status(firmware_call &c);

// psp_legacy_launch.cc: measured launch
firmware_status launch_update_data(firmware_call &c);
firmware_status launch_update_vmsa(firmware_call &c);
firmware_status launch_measure(firmware_call &c);
firmware_status launch_finish(firmware_call &c);
firmware_status attestation_report(firmware_call &c);

// psp_legacy_inject.cc: secrets, debugger
firmware_status launch_update_secret(firmware_call &c);
firmware_status debug_copy(firmware_call &c);

// psp_asids.cc: the life of an ASID
/// Has an ASID that `first`..`last` bounds no owner, and was it flushed since it had one?
firmware_status check_free_asid(const firmware_call &c, std::uint32_t asid, std::uint32_t first,
                                std::uint32_t last);
/// The guest of `asid` is gone: nobody gets it before WBINVD on all cores and a flush.
void give_back_asid(firmware_call &c, std::uint32_t asid);
/// From now on every core has to write back its caches before a flush.
void require_wbinvd(firmware_call &c);
/// DF_FLUSH and SNP_DF_FLUSH on an initialised platform.
firmware_status flush_asids(firmware_call &c);

// psp_snp_platform.cc: SNP platform commands
firmware_status snp_init(firmware_call &c);
firmware_status snp_init_ex(firmware_call &c);
firmware_status snp_shutdown_ex(firmware_call &c);
firmware_status snp_platform_status(firmware_call &c);
firmware_status snp_df_flush(firmware_call &c);
firmware_status snp_config(firmware_call &c);
firmware_status snp_commit(firmware_call &c);
firmware_status snp_feature_info(firmware_call &c);
/// Page of ranges. They may lie where there is no RMP entry (MMIO); one that leaves the address
/// space is wrong.
firmware_status read_range_list(const firmware_call &c, spa_t list, std::vector<spa_range> &out);
std::uint64_t firmware_tcb(const cpu_model &cpu);

// psp_snp_load.cc: what the host loads into firmware
firmware_status snp_vlek_load(firmware_call &c);
firmware_status snp_download_firmware_ex(firmware_call &c);

// psp_page_states.cc: pages for other purposes
firmware_status snp_page_md_init(firmware_call &c);
firmware_status snp_page_set_state(firmware_call &c);

// psp_pages.cc: page states as commands see them
firmware_status snp_page_reclaim(firmware_call &c);
/// The entry that governs the page: its own, or the 2 MB entry that it is part of.
rmp_entry governing_entry(const machine &m, spa_t page);
/// Firmware needs the page itself: RMP, trusted memory region.
bool in_use_by_firmware(const firmware_call &c, spa_t page);
/// May firmware write `bytes` at `spa`? Before SNP_INIT any RAM will do; after it the pages must
/// be firmware-owned or, unless `firmware_only`, the hypervisor's.
firmware_status check_output(const firmware_call &c, spa_t spa, std::uint64_t bytes,
                             bool firmware_only);
/// A 4 KB firmware page that firmware itself does not use: address, state, size.
firmware_status check_firmware_page(const firmware_call &c, spa_t page);
/// Writes a status to a firmware-owned page, which is then handed back in state Reclaim.
firmware_status write_status(firmware_call &c, spa_t out, std::span<const std::byte> status);
/// Every page of the range is in state `wanted`; no RMP entry means hypervisor.
bool all_pages_are(const machine &m, spa_range range, page_state wanted);

// psp_rmp_init.cc: the RMP after SNP_INIT
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
