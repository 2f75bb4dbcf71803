// SPDX-License-Identifier: GPL-2.0-or-later
// SNP guest contexts and what the commands on guests share. Handlers run with the firmware's and
// the RMP lock held.
#pragma once

#include "hw-model/firmware/firmware.h"
#include "hw-model/firmware/snp/page_state.h"

#include <initializer_list>
#include <span>

namespace rmpopt::hw
{

struct firmware_call;

/// Guest policy (AMD 56860).
namespace guest_policy
{
inline constexpr std::uint64_t abi_minor = 0xff, abi_major = 0xff00, smt = 1u << 16,
                               must_be_one = 1u << 17, migrate_ma = 1u << 18, debug = 1u << 19,
                               single_socket = 1u << 20, cxl_allow = 1u << 21,
                               aes_256_xts = 1u << 22, rapl_disable = 1u << 23,
                               ciphertext_hiding = 1u << 24;
} // namespace guest_policy

/// What firmware keeps in the context page. The model keeps it here, because the page is opaque:
/// only firmware may look into it.
struct snp_guest {
    snp_guest_state state = snp_guest_state::init;
    std::uint32_t asid = 0; ///< 0 until activated
    std::uint64_t policy = 0;
    std::uint64_t serial = 0; ///< counts the guests, so that their keys differ
    bool imi = false;         ///< launched with an incoming migration image
    std::array<std::byte, 16> gosvw{};
    sha384_digest launch_digest{};

    bool active() const { return asid != 0; }
    bool operator==(const snp_guest &) const = default;
};

/// Guests by the address of their context page.
using snp_guest_table = std::map<spa_t, snp_guest>;

/// A page that a command names.
struct page_operand {
    spa_t spa = 0;
    bool size_2m = false;

    std::uint64_t bytes() const { return size_2m ? page_2m : page_4k; }
    spa_range range() const { return {spa, bytes()}; }
};

// guest.cc
/// The guest whose context page is `context`; success only with `guest` set. Checks the platform's
/// state, the address and whether the page is a context, in this order.
firmware_status find_guest(const firmware_call &c, spa_t context, snp_guest *&guest);
/// Ends all guests, of which none is active.
void forget_guests(firmware_call &c);

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
/// INVALID_ADDRESS when a page is not aligned, is no RAM or has no RMP entry.
firmware_status check_page_address(const firmware_call &c, const page_operand &page);
/// Address, state, size and owner of a guest's page, in this order.
firmware_status check_guest_page(const firmware_call &c, const page_operand &page,
                                 const snp_guest &guest, std::initializer_list<page_state> states);

} // namespace rmpopt::hw
