// SPDX-License-Identifier: GPL-2.0-or-later
// Every choice that no document settles, by name. Changing one must never need a rebuild.
//
// Thread-safety: the tables are constant; a policy is set before the machine is built and only
// read from then on.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace rmpopt::hw
{

/// The outcomes that the choices pick from; each knob allows a few of them.
enum class choice : unsigned char {
    cf0,
    cf1,
    gp,
    ud,
    ignore,
    clear,
    keep,
    set,
    block,
    clean,
    round,
    cut,
    first,
    last,
    bytes,
    mb,
    code0,
    code1,
    code2,
    code4,
    code7,
    allow,
    fault,
    access,
    write,
    off,
    on
};

struct policy {
    // RMPOPT.
    choice oow = choice::cf0;           ///< address outside the core's window
    choice maxphys = choice::cf0;       ///< address above MAXPHYADDR, inside the window
    choice rax_align = choice::round;   ///< address that is not 1 GB aligned
    choice rcx = choice::gp;            ///< RCX > 1
    choice cpl = choice::gp;            ///< CPL > 0
    choice snpoff_exec = choice::ud;    ///< SNP_EN cleared, RMPOPT_EN left set
    choice rmpopt_flags = choice::keep; ///< arithmetic flags apart from CF
    choice no_entry = choice::cf1;      ///< scan of a region without any RMP entry
    choice hv_fixed = choice::clean;    ///< scan of a region with unassigned immutable pages

    // The RMPOPT table and RMPOPT_BASE.
    choice wrmsr_nosnp = choice::gp;      ///< enable without SNP_EN
    choice msr_reserved = choice::gp;     ///< reserved bits set
    choice msr_rewrite = choice::clear;   ///< table when the register is written again
    choice init_msr = choice::keep;       ///< register and table when a thread gets INIT
    choice shutdown_table = choice::keep; ///< tables when firmware clears SNP_EN
    choice shared_update = choice::clear; ///< RMPUPDATE from unassigned to unassigned

    // RMPUPDATE, PSMASH, RMPREAD.
    choice guest_exec = choice::ud;          ///< host instructions and RMPOPT in guest mode
    choice spa_align = choice::code1;        ///< address inside a page
    choice asid_high = choice::code1;        ///< ASID that no entry can hold
    choice inuse_order = choice::first;      ///< place of FAIL_INUSE among RMPUPDATE's checks
    choice immutable_in_2m = choice::code2;  ///< 2 MB over an immutable page behind the first
    choice overlap_in_2m = choice::code4;    ///< 4 KB inside an assigned 2 MB page
    choice same_update = choice::keep;       ///< guest's state when RMPUPDATE changes nothing
    choice psmash_kind = choice::code2;      ///< PSMASH of an entry that is no assigned 2 MB page
    choice rmpread_firmware = choice::code0; ///< RMPREAD of a page of the secure processor
    choice status_flags = choice::set;       ///< flags after RMPUPDATE and RMPREAD

    // Accesses and instructions of guests.
    choice inuse_write = choice::allow;      ///< host write to the VMCB or VMSA of a running guest
    choice walk_fault = choice::access;      ///< W in the fault of an A/D update
    choice not_snp_guest = choice::ud;       ///< SNP guests' instructions elsewhere
    choice pvalidate_vmpl = choice::gp;      ///< PVALIDATE at VMPL > 0
    choice rmpquery_vmpl = choice::code2;    ///< RMPQUERY about a VMPL not below the caller's
    choice guest_size_order = choice::first; ///< size rule of PVALIDATE and RMPADJUST

    // Other registers and CPUID.
    choice rmp_msr_locked = choice::gp;  ///< WRMSR RMP_BASE/RMP_END with SNP_EN
    choice segment_unit = choice::bytes; ///< unit of the segment sizes in CPUID 8000_0025 EAX

    // Firmware.
    choice x86_snp_shutdown = choice::off; ///< SNP_SHUTDOWN_EX can clear SNP_EN
};

struct policy_knob {
    std::string_view name;
    choice policy::*member;
    std::span<const choice> allowed;
    std::string_view meaning; ///< the situation in which it decides
    std::string_view source;  ///< why it is open, and what the default goes by
};

std::span<const policy_knob> policy_knobs();
/// The word for a choice on command lines and in reports.
std::string_view choice_name(choice c);
/// What the word stands for, in a few words.
std::string_view choice_meaning(choice c);
/// Empty string when set; otherwise one line that says what is wrong and what would be right.
std::string set_policy(policy &p, std::string_view name, std::string_view value);

} // namespace rmpopt::hw
