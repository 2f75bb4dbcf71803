// SPDX-License-Identifier: GPL-2.0-or-later
// What the command groups of the firmware model share. Every handler runs with the firmware's and
// the RMP lock held.
#pragma once

#include "hw-model/firmware/asid_owners.h"
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

struct psp_state {
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

    guest_table guests;
    std::uint64_t guests_created = 0;

    /// Cores that have not written back their caches since the last command that demands it.
    std::vector<std::atomic<bool>> wbinvd_pending;

    std::uint64_t commands = 0, failed = 0;
    std::map<std::uint16_t, std::uint64_t> by_command;
    std::uint16_t last_command = 0, last_status = 0;

    bool tracks_wbinvd = false;
};

/// One command on its way: the machine, the firmware's state and a copy of the command buffer.
struct psp_call {
    machine &m;
    psp_state &s;
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
std::vector<spa_range> own_memory_of(const machine &m, const psp_state &s);

using psp_handler = psp_status (*)(psp_call &);

// psp_platform.cc: SEV platform commands
psp_status platform_init(psp_call &c);
psp_status platform_init_ex(psp_call &c); // psp_nv.cc
psp_status platform_shutdown(psp_call &c);
psp_status platform_status(psp_call &c);
psp_status df_flush(psp_call &c);
psp_status download_firmware(psp_call &c);
psp_status get_id(psp_call &c);

// psp_certs.cc: keys and certificates of the platform
psp_status factory_reset(psp_call &c);
psp_status pek_gen(psp_call &c);
psp_status pek_csr(psp_call &c);
psp_status pek_cert_import(psp_call &c);
psp_status pdh_gen(psp_call &c);
psp_status pdh_cert_export(psp_call &c);

// psp_legacy_guest.cc: SEV and SEV-ES guests
psp_status launch_start(psp_call &c);
psp_status activate(psp_call &c);
psp_status deactivate(psp_call &c);
psp_status decommission(psp_call &c);
psp_status guest_status(psp_call &c);

// psp_legacy_launch.cc: measured launch
psp_status launch_update_data(psp_call &c);
psp_status launch_update_vmsa(psp_call &c);
psp_status launch_measure(psp_call &c);
psp_status launch_finish(psp_call &c);
psp_status attestation_report(psp_call &c);

// psp_legacy_inject.cc: secrets, debugger
psp_status launch_update_secret(psp_call &c);
psp_status debug_copy(psp_call &c);

// psp_asids.cc: the life of an ASID
/// Has an ASID that `first`..`last` bounds no owner, and was it flushed since it had one?
psp_status check_free_asid(const psp_call &c, std::uint32_t asid, std::uint32_t first,
                           std::uint32_t last);
/// The guest of `asid` is gone: nobody gets it before WBINVD on all cores and a flush.
void give_back_asid(psp_call &c, std::uint32_t asid);
/// From now on every core has to write back its caches before a flush.
void require_wbinvd(psp_call &c);
/// DF_FLUSH and SNP_DF_FLUSH on an initialised platform.
psp_status flush_asids(psp_call &c);

// psp_snp_platform.cc: SNP platform commands
psp_status snp_init(psp_call &c);
psp_status snp_init_ex(psp_call &c);
psp_status snp_shutdown_ex(psp_call &c);
psp_status snp_platform_status(psp_call &c);
psp_status snp_df_flush(psp_call &c);
psp_status snp_config(psp_call &c);
psp_status snp_commit(psp_call &c);
psp_status snp_feature_info(psp_call &c);
/// Page of ranges. They may lie where there is no RMP entry (MMIO); one that leaves the address
/// space is wrong.
psp_status read_range_list(const psp_call &c, spa_t list, std::vector<spa_range> &out);
std::uint64_t firmware_tcb(const persona &cpu);

// psp_snp_load.cc: what the host loads into firmware
psp_status snp_vlek_load(psp_call &c);
psp_status snp_download_firmware_ex(psp_call &c);

// psp_page_states.cc: pages for other purposes
psp_status snp_page_md_init(psp_call &c);
psp_status snp_page_set_state(psp_call &c);

// psp_pages.cc: page states as commands see them
psp_status snp_page_reclaim(psp_call &c);
/// The entry that governs the page: its own, or the 2 MB entry that it is part of.
rmp_entry governing_entry(const machine &m, spa_t page);
/// Firmware needs the page itself: RMP, trusted memory region.
bool in_use_by_firmware(const psp_call &c, spa_t page);
/// May firmware write `bytes` at `spa`? Before SNP_INIT any RAM will do; after it the pages must
/// be firmware-owned or, unless `firmware_only`, the hypervisor's.
psp_status check_output(const psp_call &c, spa_t spa, std::uint64_t bytes, bool firmware_only);
/// A 4 KB firmware page that firmware itself does not use: address, state, size.
psp_status check_firmware_page(const psp_call &c, spa_t page);
/// Writes a status to a firmware-owned page, which is then handed back in state Reclaim.
psp_status write_status(psp_call &c, spa_t out, std::span<const std::byte> status);
/// Every page of the range is in state `wanted`; no RMP entry means hypervisor.
bool all_pages_are(const machine &m, spa_range range, page_state wanted);

// psp_rmp_init.cc: the RMP after SNP_INIT
/// Rebuilds the RMP: all memory the hypervisor's, `fixed` and what is no RAM HV-fixed, the RMP's
/// own pages and the IOMMU's buffers firmware-owned. Returns the IOMMU pages it marked.
/// Precondition: rmp_is_usable().
std::vector<spa_range> rebuild_rmp(machine &m, std::vector<spa_range> fixed, effect_list &effects);
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
