// SPDX-License-Identifier: GPL-2.0-or-later
// The policies: every choice that no document settles, by name. A choice can be made on the command
// line; it never needs a rebuild.
//
// Thread-safety: the table is constant. A policy is set before the machine is built and is only
// read from then on.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace rmpopt::hw
{

/// What a policy can be: one type for each, so that it cannot be compared with another's value. The
/// first value is the default. policy.cc describes the situations and names the sources.
namespace choice
{
// RMPOPT, its table and RMPOPT_BASE.
enum class out_of_window : std::uint8_t { cf0, gp }; ///< RMPOPT: address outside the core's window
enum class maxphys : std::uint8_t {
    cf0,
    gp
}; ///< RMPOPT: address above MAXPHYADDR, inside the window
enum class rax_align : std::uint8_t { round, gp }; ///< RMPOPT: address that is not 1 GB aligned
enum class reserved_function : std::uint8_t { gp, cf0 }; ///< RMPOPT: RCX > 1
enum class cpl : std::uint8_t { gp, ud };                ///< RMPOPT: CPL > 0
enum class snpoff_exec : std::uint8_t {
    ud,
    cf0
}; ///< RMPOPT: SNP_EN is clear, RMPOPT_EN is still set
enum class rmpopt_guest : std::uint8_t { ud, gp };       ///< RMPOPT: in guest mode
enum class rmpopt_flags : std::uint8_t { keep, clear };  ///< RMPOPT: arithmetic flags other than CF
enum class uncovered_region : std::uint8_t { cf1, cf0 }; ///< RMPOPT: region without any RMP entry
enum class hv_fixed : std::uint8_t {
    clean,
    block
}; ///< RMPOPT: region with unassigned immutable pages

enum class wrmsr_nosnp : std::uint8_t { gp, ignore }; ///< RMPOPT_BASE: written without SNP_EN
enum class rmpopt_locked : std::uint8_t {
    gp,
    ignore,
    allow
}; ///< RMPOPT_BASE: cleared or moved while it is enabled
enum class msr_reserved : std::uint8_t { gp, ignore }; ///< RMPOPT_BASE: reserved bits set
enum class msr_rewrite : std::uint8_t {
    clear,
    keep
}; ///< RMPOPT table when RMPOPT_BASE is written again
enum class init_msr : std::uint8_t {
    keep,
    clear
}; ///< RMPOPT_BASE and table when a thread gets INIT
enum class shutdown_msr : std::uint8_t { clear, keep }; ///< RMPOPT_BASE when firmware clears SNP_EN
enum class shutdown_table : std::uint8_t {
    keep,
    clear
}; ///< RMPOPT tables when firmware clears SNP_EN
enum class shared_update : std::uint8_t {
    clear,
    keep
}; ///< RMPOPT bits at an RMPUPDATE from unassigned to unassigned

// RMPUPDATE, PSMASH, RMPREAD.
enum class guest_exec : std::uint8_t {
    fail_permission,
    ud
}; ///< RMPUPDATE, PSMASH and RMPREAD in guest mode
enum class spa_align : std::uint8_t {
    fail_input,
    round
}; ///< RMPUPDATE, RMPREAD: address inside a page
enum class asid_high : std::uint8_t { fail_input, cut }; ///< RMPUPDATE: ASID that no entry can hold
enum class inuse_order : std::uint8_t {
    first,
    last
}; ///< RMPUPDATE: place of FAIL_INUSE among the checks
enum class immutable_in_2m : std::uint8_t {
    fail_permission,
    fail_overlap
}; ///< RMPUPDATE: 2 MB over an immutable page other than the first
enum class overlap_in_2m : std::uint8_t {
    fail_overlap,
    fail_permission
}; ///< RMPUPDATE: 4 KB inside an assigned 2 MB page
enum class overlap_transient : std::uint8_t {
    never,
    once
}; ///< RMPUPDATE: FAIL_OVERLAP because another core is at work in the 2 MB range
enum class same_update : std::uint8_t {
    keep,
    clear
}; ///< RMPUPDATE: guest's state when nothing else changes
enum class psmash_kind : std::uint8_t {
    fail_badaddr,
    fail_permission
}; ///< PSMASH: entry that is no assigned 2 MB page
enum class status_flags : std::uint8_t { set, keep }; ///< flags after RMPUPDATE and RMPREAD

// Accesses, and instructions of guests.
enum class checks_from : std::uint8_t { snp_en, snp_init }; ///< when a core begins to check
enum class inuse_write : std::uint8_t {
    allow,
    fault
}; ///< host write to the VMCB or VMSA of a running guest
enum class plain_walk_read : std::uint8_t {
    check,
    allow
}; ///< page-table read of the host or a plain guest in an assigned page
enum class plain_guest_2m : std::uint8_t {
    check,
    allow
}; ///< write of a plain guest under a large nested mapping
enum class vmsa_size : std::uint8_t { any, small };     ///< VMRUN: SNP VMSA inside a 2 MB entry
enum class walk_fault : std::uint8_t { access, write }; ///< W bit in the fault of an A/D update
enum class not_snp_guest : std::uint8_t {
    ud,
    gp
}; ///< instructions of SNP guests outside an SNP guest
enum class pvalidate_vmpl : std::uint8_t { gp, fail_permission }; ///< PVALIDATE at VMPL > 0
enum class ciphertext : std::uint8_t { scramble, plain }; ///< what others see of a guest's page
enum class rmpadjust_align : std::uint8_t { ignore, fail_input }; ///< low 12 bits of its RAX
enum class rmpquery_vmpl : std::uint8_t {
    fail_permission,
    success
}; ///< RMPQUERY about a VMPL not below the caller's
enum class guest_size_order : std::uint8_t {
    first,
    last
}; ///< PVALIDATE, RMPADJUST: place of the size rule

// Other registers, CPUID, firmware.
enum class rmp_msr_locked : std::uint8_t {
    gp,
    ignore
}; ///< WRMSR of RMP_BASE or RMP_END while SNP_EN is set
enum class segment_unit : std::uint8_t {
    bytes,
    mb
}; ///< CPUID 8000_0025 EAX: unit of the segment sizes
enum class x86_snp_shutdown : std::uint8_t {
    off,
    on
}; ///< whether SNP_SHUTDOWN_EX can clear SNP_EN
} // namespace choice

struct policy {
    choice::out_of_window out_of_window{};
    choice::maxphys maxphys{};
    choice::rax_align rax_align{};
    choice::reserved_function reserved_function{};
    choice::cpl cpl{};
    choice::snpoff_exec snpoff_exec{};
    choice::rmpopt_guest rmpopt_guest{};
    choice::rmpopt_flags rmpopt_flags{};
    choice::uncovered_region uncovered_region{};
    choice::hv_fixed hv_fixed{};
    choice::wrmsr_nosnp wrmsr_nosnp{};
    choice::rmpopt_locked rmpopt_locked{};
    choice::msr_reserved msr_reserved{};
    choice::msr_rewrite msr_rewrite{};
    choice::init_msr init_msr{};
    choice::shutdown_msr shutdown_msr{};
    choice::shutdown_table shutdown_table{};
    choice::shared_update shared_update{};
    choice::guest_exec guest_exec{};
    choice::spa_align spa_align{};
    choice::asid_high asid_high{};
    choice::inuse_order inuse_order{};
    choice::immutable_in_2m immutable_in_2m{};
    choice::overlap_in_2m overlap_in_2m{};
    choice::overlap_transient overlap_transient{};
    choice::same_update same_update{};
    choice::psmash_kind psmash_kind{};
    choice::status_flags status_flags{};
    choice::checks_from checks_from{};
    choice::inuse_write inuse_write{};
    choice::plain_walk_read plain_walk_read{};
    choice::plain_guest_2m plain_guest_2m{};
    choice::vmsa_size vmsa_size{};
    choice::walk_fault walk_fault{};
    choice::not_snp_guest not_snp_guest{};
    choice::pvalidate_vmpl pvalidate_vmpl{};
    choice::ciphertext ciphertext{};
    choice::rmpadjust_align rmpadjust_align{};
    choice::rmpquery_vmpl rmpquery_vmpl{};
    choice::guest_size_order guest_size_order{};
    choice::rmp_msr_locked rmp_msr_locked{};
    choice::segment_unit segment_unit{};
    choice::x86_snp_shutdown x86_snp_shutdown{};

    bool operator==(const policy &) const = default;
};

/// A value as command lines and reports have it.
struct policy_value {
    std::string_view word;
    std::string_view meaning;
};

/// A row of the table of policies.
struct policy_knob {
    std::string_view name;
    std::span<const policy_value> values; ///< in the order of the enumerators: the default first
    std::string_view meaning;             ///< the situation in which the policy decides
    std::string_view source;              ///< why it is open, and what the default goes by
    unsigned (*get)(const policy &);      ///< index into `values`
    void (*set)(policy &, unsigned index);

    const policy_value &value_in(const policy &p) const { return values[get(p)]; }
};

std::span<const policy_knob> policy_knobs();
/// Returns an empty string when the policy is set, otherwise one line that says what is wrong and
/// what would be right.
std::string set_policy(policy &p, std::string_view name, std::string_view value);

} // namespace rmpopt::hw
