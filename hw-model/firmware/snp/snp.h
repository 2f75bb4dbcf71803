// SPDX-License-Identifier: GPL-2.0-or-later
// What the commands of SNP (AMD 56860) share.
#pragma once

#include "hw-model/firmware/common/crypto.h"
#include "hw-model/firmware/snp/commands.h"

#include <algorithm>
#include <initializer_list>
#include <span>

namespace rmpopt::hw
{

/// Guest policy (AMD 56860).
namespace guest_policy
{
inline constexpr std::uint64_t abi_minor = 0xff, abi_major = 0xff00, smt = 1u << 16,
                               must_be_one = 1u << 17, migrate_ma = 1u << 18, debug = 1u << 19,
                               single_socket = 1u << 20, cxl_allow = 1u << 21,
                               aes_256_xts = 1u << 22, rapl_disable = 1u << 23,
                               page_swap_disable = 1u << 25, ciphertext_hiding = 1u << 24;
} // namespace guest_policy

// platform.cc
/// Reads a page of ranges. They may be located where there is no RMP entry (MMIO); one that leaves
/// the address space is an error.
firmware_status read_range_list(const firmware_call &c, spa_t list, std::vector<spa_range> &out);
std::uint64_t firmware_tcb(const cpu_model &cpu);
/// Some component of `tcb` is newer than that of `limit`.
bool tcb_exceeds(std::uint64_t tcb, std::uint64_t limit);

// pages.cc
/// Writes a status to a firmware-owned page, which is then handed back in state Reclaim.
firmware_status write_status(firmware_call &c, spa_t out, std::span<const std::byte> status);

// rmp_init.cc
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

// guest.cc
/// The guest whose context page is `context`; success only with `guest` set. Checks the platform's
/// state, the address and whether the page is a context, in this order.
firmware_status find_guest(const firmware_call &c, spa_t context, snp_guest *&guest);
/// Ends all guests, of which none is active.
void forget_guests(firmware_call &c);

// launch_start.cc
bool smt_is_on(const machine &m);

// guest_keys.cc: the same in two runs and secret from nobody; that they differ is what matters here
/// VMPCK: seals the messages of one VMPL.
aes256_key communication_key(const snp_guest &guest, unsigned vmpl);
/// VMRK: what keys of a guest can be derived from that no other guest, however equal, derives.
sha384_digest guest_root_key(const snp_guest &guest);
/// Of the guest with this serial number.
std::array<std::byte, 32> report_id(std::uint64_t serial);

// launch_pages.cc: pages that firmware itself fills or looks into
/// Corrects values that this CPU does not have. INVALID_PARAM if there were any, or when the table
/// is no table.
firmware_status check_cpuid_page(const firmware_call &c, spa_t page);
void write_secrets_page(const firmware_call &c, const snp_guest &guest, spa_t page);

// digest.cc
/// Page types of SNP_LAUNCH_UPDATE.
enum class launch_page : std::uint8_t {
    normal = 1,
    vmsa = 2,
    zero = 3,
    unmeasured = 4,
    secrets = 5,
    cpuid = 6,
};
/// What the digest takes in about a page besides its content.
struct measured_page {
    launch_page type = launch_page::normal;
    bool imi = false;
    std::array<std::uint8_t, 4> vmpl{};
    std::uint64_t gpa = 0;
};
/// The digest after 4 KB more. `content` counts for normal and VMSA pages only.
sha384_digest extend_digest(const sha384_digest &current, const measured_page &page,
                            std::span<const std::byte> content);

// guest_pages.cc
/// Address, state, size and owner of a guest's page, in this order.
firmware_status check_guest_page(const firmware_call &c, const page_operand &page,
                                 const snp_guest &guest, std::initializer_list<page_state> states);

} // namespace rmpopt::hw
