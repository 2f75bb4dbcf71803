// SPDX-License-Identifier: GPL-2.0-or-later
// The RMP check of a memory access, rule by rule. Sources: APM vol. 2, 15.36.10 (tables 15-39 and
// 15-41, fault codes), 15.36.7 (VMPL), 15.36.12 (pages in use); AMD's RMPOPT series.
//
// RMP checks come after all paging checks: call this only for an access that paging allows.
//
// Thread-safety: any thread at any time; no lock, no allocation, no exception. An access that races
// a change of its entry is checked against the old or the new one, and against the transient
// states between them (APM vol. 2, 15.36.12: software retries).
#pragma once

#include "hw-model/machine/machine.h"

#include <string_view>

namespace rmpopt::hw
{

enum class initiator : std::uint8_t {
    host, ///< hypervisor mode
    nonsnp_guest,
    snp_guest,
    device, ///< DMA through the IOMMU
};

enum class rmp_access_kind : std::uint8_t {
    read,
    write,
    fetch,
    walk_read,  ///< of a page table
    walk_write, ///< A/D update of a page walk
};

struct rmp_access {
    initiator who = initiator::host;
    rmp_access_kind kind = rmp_access_kind::read;
    spa_t spa = 0;
    /// The host's mapping (for guests the nested one) is 2 MB or larger; 1 GB counts as 2 MB.
    bool large_mapping = false;

    // SNP guests only.
    bool encrypted = false;    ///< C-bit of a data access; walks and fetches are private anyway
    std::uint32_t asid = 0;    ///< not 0
    std::uint64_t gpa = 0;     ///< without C-bit
    unsigned vmpl = 0;         ///< 0..3
    bool user = false;         ///< CPL 3
    bool vmpl_sss = false;     ///< VmplSSS is active
    bool shadow_stack = false; ///< supervisor shadow stack access; only while VmplSSS is active
};

enum class rmp_outcome : std::uint8_t {
    allowed,
    page_fault,        ///< #PF in the host
    nested_page_fault, ///< #VMEXIT(NPF)
    vmm_communication, ///< #VC with error code vc_page_not_validated in the guest
    blocked,           ///< the device's access fails; IOMMU event RMP_PAGE_FAULT
};

/// The rule that decided, in the order in which they apply.
enum class rmp_rule : std::uint8_t {
    snp_disabled,          ///< allowed: SNP_EN is clear
    unchecked_access,      ///< allowed: this kind of access is never checked
    rmpopt_skip,           ///< allowed: the core's RMPOPT table covers the region
    segment_reserved_bits, ///< the segment table's entry must be well-formed
    device_page,           ///< devices reach hypervisor-owned pages only
    hypervisor_owned,      ///< the page must be hypervisor-owned
    hypervisor_owned_2m,   ///< all 512 pages under a large mapping must be
    page_in_use,           ///< a running guest holds the page
    guest_covered,         ///< the page must have an entry
    guest_assigned,        ///< it must be guest-owned
    guest_asid,            ///< by this guest
    guest_gpa,             ///< at this guest physical address
    guest_immutable,       ///< and not be immutable
    guest_size,            ///< nested mapping and entry have one size
    guest_validated,       ///< the guest has accepted the page
    guest_vmpl,            ///< the VMPL has the permission
    passed,                ///< allowed: no rule of this access is broken
};

/// "hypervisor-owned" and so on, for logs.
std::string_view rule_name(rmp_rule rule) noexcept;

struct rmp_verdict {
    rmp_outcome outcome = rmp_outcome::allowed;
    rmp_rule rule = rmp_rule::passed;
    bool checked = false; ///< an RMP lookup was needed
    bool skipped = false; ///< it was not made: the core's RMPOPT table covers the region
    /// To be OR-ed into the #PF error code or into EXITINFO1; P, W, U and the like are not here.
    std::uint64_t error_bits = 0;

    bool operator==(const rmp_verdict &) const = default;
};

/// Error code bits that RMP checks add (APM vol. 2, 15.36.10). Those from 32 on only occur in
/// EXITINFO1.
namespace rmp_error
{
inline constexpr std::uint64_t reserved = 1ull << 3; ///< as of a page table; without `rmp`
inline constexpr std::uint64_t rmp = 1ull << 31;
inline constexpr std::uint64_t final_access = 1ull << 32;
inline constexpr std::uint64_t page_walk = 1ull << 33;
inline constexpr std::uint64_t encrypted = 1ull << 34;     ///< the guest's effective C-bit was 1
inline constexpr std::uint64_t size_mismatch = 1ull << 35; ///< PVALIDATE, RMPADJUST only
inline constexpr std::uint64_t vmpl = 1ull << 36;
inline constexpr std::uint64_t shadow_stack = 1ull << 37;
} // namespace rmp_error

/// What becomes of the RMP lookup that an access may need.
enum class rmp_lookup : std::uint8_t {
    off,      ///< the core does not check
    unneeded, ///< this kind of access is never checked
    skipped,  ///< the core's RMPOPT table covers the region
    made,
};

/// Of an access by `thread`. Looks neither at the page's entry nor at ASID, GPA or VMPL.
rmp_lookup rmp_lookup_of(const machine &m, unsigned thread, const rmp_access &a) noexcept;

/// #VC error code of an access to a page that the guest has not validated.
inline constexpr std::uint32_t vc_page_not_validated = 0x404;

/// The verdict on one access by `thread`; for devices `thread` means nothing.
rmp_verdict rmp_check(const machine &m, unsigned thread, const rmp_access &a) noexcept;

/// The W bit of the error code when `a` is denied. `for_write`: a page walk on behalf of a write.
bool reported_as_write(const machine &m, const rmp_access &a, bool for_write) noexcept;

/// The entry that says who owns the 4 KB page at `spa`. Inside an assigned 2 MB page it is that of
/// the first page; the copy returned has the GPA of the 4 KB page (APM vol. 2, 15.36.3).
rmp_entry rmp_owner(const rmp_table &rmp, spa_t spa) noexcept;

} // namespace rmpopt::hw
