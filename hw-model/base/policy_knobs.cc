// SPDX-License-Identifier: GPL-2.0-or-later
// The list of open choices: what `rmpopt policies` prints.
#include "hw-model/base/policy.h"

#include <array>

namespace rmpopt::hw
{

namespace
{

constexpr std::array cf0_or_gp{choice::cf0, choice::gp};
constexpr std::array cf1_or_cf0{choice::cf1, choice::cf0};
constexpr std::array gp_or_cf0{choice::gp, choice::cf0};
constexpr std::array gp_or_ud{choice::gp, choice::ud};
constexpr std::array gp_or_ignore{choice::gp, choice::ignore};
constexpr std::array ud_or_cf0{choice::ud, choice::cf0};
constexpr std::array ud_or_gp{choice::ud, choice::gp};
constexpr std::array clear_or_keep{choice::clear, choice::keep};
constexpr std::array keep_or_clear{choice::keep, choice::clear};
constexpr std::array set_or_keep{choice::set, choice::keep};
constexpr std::array clean_or_block{choice::clean, choice::block};
constexpr std::array round_or_gp{choice::round, choice::gp};
constexpr std::array one_or_round{choice::code1, choice::round};
constexpr std::array one_or_cut{choice::code1, choice::cut};
constexpr std::array first_or_last{choice::first, choice::last};
constexpr std::array bytes_or_mb{choice::bytes, choice::mb};
constexpr std::array zero_or_two{choice::code0, choice::code2};
constexpr std::array two_or_zero{choice::code2, choice::code0};
constexpr std::array gp_or_two{choice::gp, choice::code2};
constexpr std::array allow_or_fault{choice::allow, choice::fault};
constexpr std::array access_or_write{choice::access, choice::write};
constexpr std::array off_or_on{choice::off, choice::on};
constexpr std::array two_or_four{choice::code2, choice::code4};
constexpr std::array four_or_two{choice::code4, choice::code2};
constexpr std::array two_or_seven{choice::code2, choice::code7};

constexpr std::array<policy_knob, 34> knobs{{
    {"oow", &policy::oow, cf0_or_gp, "RMPOPT of an address outside the core's 2 TB window",
     "not documented; nobody reported a fault from kernels that looked beyond the window"},
    {"maxphys", &policy::maxphys, cf0_or_gp,
     "RMPOPT of an address above MAXPHYADDR but inside the core's window",
     "not documented; no memory can be there, so nothing is optimised"},
    {"rax-align", &policy::rax_align, round_or_gp, "RMPOPT of an address that is not 1 GB aligned",
     "AMD, 2026-03-30: hardware rounds down; said once, in passing"},
    {"rcx", &policy::rcx, gp_or_cf0, "RMPOPT with a function number above 1",
     "not documented; only 0 and 1 are defined at present (AMD, RMPOPT series)"},
    {"cpl", &policy::cpl, gp_or_ud, "RMPOPT at CPL > 0",
     "not documented; RMPUPDATE and PSMASH raise #GP(0)"},
    {"snpoff-exec", &policy::snpoff_exec, ud_or_cf0,
     "RMPOPT on a core with RMPOPT_EN set after firmware cleared SNP_EN",
     "not documented; as RMPUPDATE and PSMASH without SNP_EN"},
    {"rmpopt-flags", &policy::rmpopt_flags, keep_or_clear,
     "OF, SF, ZF, AF and PF after RMPOPT; CF is its result",
     "not documented; Linux declares all flags clobbered"},
    {"no-entry", &policy::no_entry, cf1_or_cf0,
     "RMPOPT function 0 of a region inside the window without a single RMP entry",
     "not documented; pages without an entry are hypervisor-owned (APM vol. 2, 15.36.4)"},
    {"hv-fixed", &policy::hv_fixed, clean_or_block,
     "RMPOPT function 0 of a region with HV_FIXED pages: unassigned but immutable",
     "AMD's text names assigned pages only (2026-02-17); with block a scan reads every entry"},
    {"wrmsr-nosnp", &policy::wrmsr_nosnp, gp_or_ignore,
     "WRMSR that enables RMPOPT_BASE without SNP_EN or with a contiguous RMP",
     "that it cannot be enabled: AMD, 2026-06-19; how the write is refused is not documented"},
    {"msr-reserved", &policy::msr_reserved, gp_or_ignore,
     "WRMSR RMPOPT_BASE with bits 29:1 or bits above the physical address width set",
     "not documented; Linux writes them as 0"},
    {"msr-rewrite", &policy::msr_rewrite, clear_or_keep,
     "the core's table when RMPOPT_BASE is written with the base that it has; another base always "
     "clears it",
     "not documented"},
    {"init-msr", &policy::init_msr, keep_or_clear,
     "RMPOPT_BASE and the table of a core when one of its threads gets INIT",
     "not documented; both are the core's, and its other thread goes on"},
    {"shutdown-table", &policy::shutdown_table, keep_or_clear,
     "all RMPOPT tables when firmware clears SNP_EN",
     "not documented; no RMP check follows, and the next SNP_INIT clears them"},
    {"shared-update", &policy::shared_update, clear_or_keep,
     "the region's RMPOPT bits when RMPUPDATE leaves an unassigned page unassigned",
     "AMD's cover letters say any RMPUPDATE, mails say pages that become assigned (2026-02-17)"},
    {"guest-exec", &policy::guest_exec, ud_or_gp,
     "RMPUPDATE, PSMASH, RMPREAD and RMPOPT in guest mode",
     "not documented; no intercept for them is known"},
    {"spa-align", &policy::spa_align, one_or_round,
     "RMPUPDATE and RMPREAD of an address inside a 4 KB page",
     "not in the published pseudo-code of RMPUPDATE"},
    {"asid-high", &policy::asid_high, one_or_cut, "RMPUPDATE with an ASID that no entry can hold",
     "not documented; cut to 10 bits it becomes another guest's or the secure processor's"},
    {"inuse-order", &policy::inuse_order, first_or_last,
     "FAIL_INUSE among RMPUPDATE's checks: right after FAIL_INPUT, or after FAIL_OVERLAP",
     "APM vol. 2, 15.36.12 gives the code, not its place"},
    {"immutable-in-2m", &policy::immutable_in_2m, two_or_four,
     "2 MB RMPUPDATE over an assigned immutable 4 KB page that is not the region's first",
     "the published pseudo-code looks at the first entry only"},
    {"overlap-in-2m", &policy::overlap_in_2m, four_or_two,
     "4 KB RMPUPDATE inside an assigned 2 MB page, not at its first 4 KB",
     "not in the published pseudo-code; hardware checks (AMD, 2021-07), with what code is open"},
    {"same-update", &policy::same_update, keep_or_clear,
     "validated, VMSA and VMPL bits when RMPUPDATE repeats what a guest's entry says already",
     "APM vol. 2, 15.36.6 and 15.36.7 speak of changes; that they survive: a formal model "
     "(VeriSMo)"},
    {"psmash-kind", &policy::psmash_kind, two_or_seven,
     "result of PSMASH on an entry that is no assigned 2 MB page",
     "sources differ: FAIL_PERMISSION (2) or FAIL_BADADDR (7)"},
    {"rmpread-firmware", &policy::rmpread_firmware, zero_or_two,
     "RMPREAD of an entry that the secure processor owns: assigned, immutable, ASID 0",
     "FAIL_PERMISSION is listed for RMPREAD (Microsoft), not what it is for; Linux reads such "
     "entries"},
    {"status-flags", &policy::status_flags, set_or_keep,
     "OF, SF, ZF, AF and PF after RMPUPDATE and RMPREAD: set from EAX or left alone",
     "APM vol. 3 says so of PSMASH; assumed alike"},
    {"inuse-write", &policy::inuse_write, allow_or_fault,
     "host write to the VMCB or VMSA of a running guest",
     "APM vol. 2, 15.36.12 says that it may fault"},
    {"walk-fault", &policy::walk_fault, access_or_write,
     "the W bit in the error code when the RMP forbids the accessed-bit update of a page walk",
     "not documented; page faults of page walks report the access that needed them"},
    {"not-snp-guest", &policy::not_snp_guest, ud_or_gp,
     "PVALIDATE, RMPADJUST and RMPQUERY outside an SNP guest",
     "not documented in what could be read; as unknown instructions"},
    {"pvalidate-vmpl", &policy::pvalidate_vmpl, gp_or_two, "PVALIDATE at VMPL > 0",
     "that it is VMPL 0's: Linux, SVSM; how it is refused is not documented"},
    {"rmpquery-vmpl", &policy::rmpquery_vmpl, two_or_zero,
     "RMPQUERY about a VMPL that is not numerically above the caller's",
     "not documented; RMPADJUST returns FAIL_PERMISSION"},
    {"guest-size-order", &policy::guest_size_order, first_or_last,
     "PVALIDATE and RMPADJUST of a page whose entry has neither the size asked for nor that of the "
     "nested mapping: the rule about the size asked for comes before or after the other",
     "APM vol. 2, 15.36.10 gives both rules, not their order"},
    {"rmp-msr-locked", &policy::rmp_msr_locked, gp_or_ignore,
     "WRMSR RMP_BASE or RMP_END while SNP_EN is set",
     "not in APM vol. 2's list of locked MSRs (15.36.2); RMP_CFG is"},
    {"segment-unit", &policy::segment_unit, bytes_or_mb,
     "CPUID 8000_0025 EAX: limits of the segment size as log2 of bytes or of MB",
     "APM vol. 2 reads like MB; Linux compares them with RMP_CFG, which is log2 bytes"},
    {"x86-snp-shutdown", &policy::x86_snp_shutdown, off_or_on,
     "X86_SNP_SHUTDOWN of SNP_SHUTDOWN_EX (SNP_FEATURE_INFO ECX[1]): SNP_EN cleared on all cores",
     "an option of firmware; which processors' firmware has it is not documented"},
}};

} // namespace

std::span<const policy_knob> policy_knobs()
{
    return knobs;
}

} // namespace rmpopt::hw
