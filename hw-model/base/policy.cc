// SPDX-License-Identifier: GPL-2.0-or-later
// The table of policies: what `rmpopt policies` prints.
#include "hw-model/base/policy.h"

#include <algorithm>
#include <array>
#include <type_traits>

namespace rmpopt::hw
{

namespace
{

constexpr policy_value cf0{"cf0", "CF=0, no exception"}, cf1{"cf1", "CF=1, no exception"},
    gp{"gp", "#GP(0)"}, ud{"ud", "#UD"},
    ignore{"ignore", "what is not allowed is not written, no exception"}, clear{"clear", "cleared"},
    keep{"keep", "kept as before"}, set{"set", "set from the result"},
    block{"block", "the region is not optimised"}, clean{"clean", "the region can be optimised"},
    round{"round", "rounded down, no error"}, cut{"cut", "the high bits are dropped"},
    first{"first", "checked before the others"}, last{"last", "checked after the others"},
    bytes{"bytes", "log2 of bytes"}, mb{"mb", "log2 of MB"}, success{"0", "EAX=0, SUCCESS"},
    fail_input{"1", "EAX=1, FAIL_INPUT"}, fail_permission{"2", "EAX=2, FAIL_PERMISSION"},
    fail_overlap{"4", "EAX=4, FAIL_OVERLAP"}, fail_badaddr{"7", "EAX=7, FAIL_BADADDR"},
    allow{"allow", "allowed"}, fault{"fault", "#PF with the RMP bit"},
    access{"access", "as the access that needed it"}, write{"write", "always a write"},
    scramble{"scramble", "noise, also for the guest what others wrote there"},
    plain{"plain", "as the guest has written it"}, check{"check", "checked"},
    any{"any", "accepted"}, only_4k{"4k", "VMEXIT_INVALID"}, off{"off", "not offered"},
    on{"on", "offered"}, never{"never", "never"},
    once{"once", "EAX=4, FAIL_OVERLAP, and the next attempt is executed"},
    snp_en{"snp-en", "with its SNP_EN"}, snp_init{"snp-init", "with SNP_EN, once SNP_INIT is done"};

constexpr std::array cf0_or_gp{cf0, gp};
constexpr std::array round_or_gp{round, gp};
constexpr std::array gp_or_cf0{gp, cf0};
constexpr std::array gp_or_ud{gp, ud};
constexpr std::array ud_or_cf0{ud, cf0};
constexpr std::array keep_or_clear{keep, clear};
constexpr std::array cf1_or_cf0{cf1, cf0};
constexpr std::array clean_or_block{clean, block};
constexpr std::array gp_or_ignore{gp, ignore};
constexpr std::array gp_or_ignore_or_allow{gp, ignore, allow};
constexpr std::array clear_or_keep{clear, keep};
constexpr std::array ud_or_gp{ud, gp};
constexpr std::array fail_input_or_round{fail_input, round};
constexpr std::array fail_input_or_cut{fail_input, cut};
constexpr std::array first_or_last{first, last};
constexpr std::array fail_permission_or_fail_overlap{fail_permission, fail_overlap};
constexpr std::array fail_overlap_or_fail_permission{fail_overlap, fail_permission};
constexpr std::array fail_badaddr_or_fail_permission{fail_badaddr, fail_permission};
constexpr std::array fail_permission_or_ud{fail_permission, ud};
constexpr std::array set_or_keep{set, keep};
constexpr std::array allow_or_fault{allow, fault};
constexpr std::array access_or_write{access, write};
constexpr std::array gp_or_fail_permission{gp, fail_permission};
constexpr std::array scramble_or_plain{scramble, plain};
constexpr std::array ignore_or_fail_input{ignore, fail_input};
constexpr std::array fail_permission_or_success{fail_permission, success};
constexpr std::array bytes_or_mb{bytes, mb};
constexpr std::array off_or_on{off, on};
constexpr std::array any_or_only_4k{any, only_4k};
constexpr std::array check_or_allow{check, allow};
constexpr std::array never_or_once{never, once};
constexpr std::array snp_en_or_snp_init{snp_en, snp_init};

template <auto member>
constexpr policy_knob knob(std::string_view name, std::span<const policy_value> values,
                           std::string_view meaning, std::string_view source)
{
    using value = std::remove_cvref_t<decltype(policy{}.*member)>;
    return {.name = name,
            .values = values,
            .meaning = meaning,
            .source = source,
            .get = [](const policy &p) { return static_cast<unsigned>(p.*member); },
            .set = [](policy &p, unsigned index) { p.*member = static_cast<value>(index); }};
}

constexpr std::array knobs{
    knob<&policy::out_of_window>(
        "oow", cf0_or_gp, "RMPOPT of an address outside the core's 2 TB window",
        "not documented; no fault was reported for kernels that went beyond the window"),
    knob<&policy::maxphys>("maxphys", cf0_or_gp,
                           "RMPOPT of an address above MAXPHYADDR but inside the core's window",
                           "not documented; no memory can be there, so nothing is optimised"),
    knob<&policy::rax_align>("rax-align", round_or_gp,
                             "RMPOPT of an address that is not 1 GB aligned",
                             "AMD, 2026-03-30, mentioned once in passing: hardware rounds down"),
    knob<&policy::reserved_function>(
        "rcx", gp_or_cf0, "RMPOPT with a function number above 1",
        "not documented; only 0 and 1 are defined at present (AMD, RMPOPT series)"),
    knob<&policy::cpl>("cpl", gp_or_ud, "RMPOPT at CPL > 0",
                       "not documented; RMPUPDATE and PSMASH raise #GP(0)"),
    knob<&policy::snpoff_exec>("snpoff-exec", ud_or_cf0,
                               "RMPOPT without SNP_EN where the policy shutdown-msr has kept "
                               "RMPOPT_EN",
                               "not documented; as RMPUPDATE and PSMASH without SNP_EN"),
    knob<&policy::rmpopt_guest>("rmpopt-guest", ud_or_gp, "RMPOPT in guest mode",
                                "not documented; no intercept for it is known"),
    knob<&policy::rmpopt_flags>("rmpopt-flags", keep_or_clear,
                                "OF, SF, ZF, AF and PF after RMPOPT; CF is its result",
                                "not documented; Linux declares all flags clobbered"),
    knob<&policy::uncovered_region>(
        "no-entry", cf1_or_cf0,
        "RMPOPT function 0 of a region inside the window without a single RMP entry",
        "not documented; pages without an entry are hypervisor-owned (APM vol. 2, 15.36.4)"),
    knob<&policy::hv_fixed>(
        "hv-fixed", clean_or_block,
        "RMPOPT function 0 of a region with HV_FIXED pages: unassigned but immutable",
        "AMD's text names assigned pages only (2026-02-17); with block a scan reads every entry"),
    knob<&policy::wrmsr_nosnp>(
        "wrmsr-nosnp", gp_or_ignore,
        "WRMSR RMPOPT_BASE without SNP_EN, or one that enables it with a contiguous RMP",
        "AMD, 2026-06-19, and Linux 7.4 (x86/sev, 2026-09-18): neither is possible; how the write "
        "is refused is not documented"),
    knob<&policy::rmpopt_locked>(
        "rmpopt-locked", gp_or_ignore_or_allow,
        "WRMSR that clears RMPOPT_EN or moves the base while RMPOPT_EN is set",
        "Linux 7.4 (x86/sev, 2026-09-18): RMPOPT_EN cannot be cleared while SNP is enabled; how "
        "the write is refused, and whether the base may be moved, is not documented"),
    knob<&policy::msr_reserved>(
        "msr-reserved", gp_or_ignore,
        "WRMSR RMPOPT_BASE with bits 29:1 or bits above the physical address width set",
        "not documented; Linux writes them as 0"),
    knob<&policy::msr_rewrite>("msr-rewrite", clear_or_keep,
                               "the core's table when the current base is written to RMPOPT_BASE "
                               "again; another base always clears it",
                               "not documented"),
    knob<&policy::init_msr>("init-msr", keep_or_clear,
                            "RMPOPT_BASE and the table of a core when one of its threads gets INIT",
                            "not documented; the core's other thread keeps using both"),
    knob<&policy::shutdown_msr>(
        "shutdown-msr", clear_or_keep, "RMPOPT_BASE of all cores when firmware clears SNP_EN",
        "Linux 7.4 (x86/sev, 2026-09-18): it stays enabled until SNP is disabled"),
    knob<&policy::shutdown_table>(
        "shutdown-table", keep_or_clear, "all RMPOPT tables when firmware clears SNP_EN",
        "not documented; no RMP check follows, and the next SNP_INIT clears them"),
    knob<&policy::shared_update>(
        "shared-update", clear_or_keep,
        "the region's RMPOPT bits when RMPUPDATE leaves an unassigned page unassigned",
        "AMD's cover letters say any RMPUPDATE, mails say pages that become assigned (2026-02-17)"),
    knob<&policy::guest_exec>(
        "guest-exec", fail_permission_or_ud, "RMPUPDATE, PSMASH and RMPREAD in guest mode",
        "Microsoft's reference: 2 says that the current ASID is not zero; no intercept is known"),
    knob<&policy::spa_align>("spa-align", fail_input_or_round,
                             "RMPUPDATE and RMPREAD of an address inside a 4 KB page",
                             "not in the published pseudo-code of RMPUPDATE"),
    knob<&policy::asid_high>(
        "asid-high", fail_input_or_cut, "RMPUPDATE with an ASID that no entry can hold",
        "not documented; cut to 10 bits it becomes another guest's or the secure processor's"),
    knob<&policy::inuse_order>(
        "inuse-order", first_or_last,
        "FAIL_INUSE among RMPUPDATE's checks: right after FAIL_INPUT, or after FAIL_OVERLAP",
        "APM vol. 2, 15.36.12 gives the code, not its place"),
    knob<&policy::immutable_in_2m>(
        "immutable-in-2m", fail_permission_or_fail_overlap,
        "2 MB RMPUPDATE over an assigned immutable 4 KB page that is not the region's first",
        "the published pseudo-code looks at the first entry only"),
    knob<&policy::overlap_in_2m>(
        "overlap-in-2m", fail_overlap_or_fail_permission,
        "4 KB RMPUPDATE inside an assigned 2 MB page, not at its first 4 KB",
        "not in the published pseudo-code; hardware checks it (AMD, 2021-07), the code is unknown"),
    knob<&policy::overlap_transient>(
        "overlap-transient", never_or_once,
        "RMPUPDATE in a 2 MB range that an update of another core holds; made up here, at each "
        "change from one range to another",
        "Linux, rmpupdate(): concurrent updates of a range may overlap, so it tries again"),
    knob<&policy::same_update>(
        "same-update", keep_or_clear,
        "validated, VMSA and VMPL bits when RMPUPDATE repeats what a guest's entry says already",
        "APM vol. 2, 15.36.6 and 15.36.7 are about changes only; a formal model (VeriSMo) keeps "
        "them"),
    knob<&policy::psmash_kind>("psmash-kind", fail_badaddr_or_fail_permission,
                               "result of PSMASH on an entry that is not an assigned 2 MB page",
                               "Microsoft's reference: 7 is a page that cannot be expanded, and 2 "
                               "an ASID that is not zero; older sources have 2"),
    knob<&policy::status_flags>(
        "status-flags", set_or_keep,
        "OF, SF, ZF, AF and PF after RMPUPDATE and RMPREAD: set from EAX or left alone",
        "APM vol. 3 says that PSMASH sets them; assumed to be the same here"),
    knob<&policy::checks_from>(
        "checks-from", snp_en_or_snp_init, "from when on a core checks its accesses",
        "APM vol. 2, 15.36.4, and AMD, 2025-02: with SNP_EN; Linux, 2026-09 (x86/sev): not before "
        "SNP_INIT"),
    knob<&policy::inuse_write>("inuse-write", allow_or_fault,
                               "host write to the VMCB or VMSA of a running guest",
                               "APM vol. 2, 15.36.12 says that it may fault"),
    knob<&policy::plain_walk_read>(
        "plain-walk-read", check_or_allow,
        "a page walk of the host or of a plain guest that reads a table in an assigned page",
        "APM vol. 2, table 15-39 lists page-table accesses beside writes; other texts name writes "
        "only"),
    knob<&policy::plain_guest_2m>(
        "plain-guest-2m", check_or_allow,
        "write of a plain guest under a nested mapping of 2 MB that also has an assigned page",
        "APM vol. 2, 15.36.10 makes no exception for plain guests; AMD on linux-coco: their page "
        "size is not checked, which may mean the rule about sizes of mapping and entry"),
    knob<&policy::vmsa_size>(
        "vmsa-size", any_or_only_4k,
        "VMRUN of an SNP guest whose VMSA lies inside a 2 MB RMP entry",
        "APM vol. 2, table 15-41 has no Page-Size check for it; the text before it says that such "
        "checks take 4 KB"),
    knob<&policy::walk_fault>(
        "walk-fault", access_or_write,
        "the W bit in the error code when the RMP forbids the accessed-bit update of a page walk",
        "not documented; page faults of page walks report the access that needed them"),
    knob<&policy::not_snp_guest>("not-snp-guest", ud_or_gp,
                                 "PVALIDATE, RMPADJUST and RMPQUERY outside an SNP guest",
                                 "not in the documents available; as for unknown instructions"),
    knob<&policy::pvalidate_vmpl>(
        "pvalidate-vmpl", gp_or_fail_permission, "PVALIDATE at VMPL > 0",
        "Linux, SVSM: only VMPL 0 may execute it; how others are refused is not documented"),
    knob<&policy::ciphertext>(
        "ciphertext", scramble_or_plain,
        "private page of an SNP guest, or its VMSA, read by the host or without the C-bit",
        "APM vol. 2, 15.34 and 15.36.5: as ciphertext; here it is noise, but not AES"),
    knob<&policy::rmpadjust_align>(
        "rmpadjust-align", ignore_or_fail_input, "RMPADJUST of 4 KB at an address inside a page",
        "OVMF passes such an address to find out whether it runs at VMPL 0, and real machines boot "
        "it"),
    knob<&policy::rmpquery_vmpl>("rmpquery-vmpl", fail_permission_or_success,
                                 "RMPQUERY about a VMPL that is not numerically above the caller's",
                                 "not documented; RMPADJUST returns FAIL_PERMISSION"),
    knob<&policy::guest_size_order>(
        "guest-size-order", first_or_last,
        "PVALIDATE and RMPADJUST of a page whose entry has neither the size asked for nor that of "
        "the nested mapping: whether the rule about the size asked for comes first or last",
        "APM vol. 2, 15.36.10 gives both rules, not their order"),
    knob<&policy::rmp_msr_locked>("rmp-msr-locked", gp_or_ignore,
                                  "WRMSR RMP_BASE or RMP_END while SNP_EN is set",
                                  "not in APM vol. 2's list of locked MSRs (15.36.2); RMP_CFG is"),
    knob<&policy::segment_unit>(
        "segment-unit", bytes_or_mb,
        "CPUID 8000_0025 EAX: limits of the segment size as log2 of bytes or of MB",
        "APM vol. 2 reads like MB; Linux compares them with RMP_CFG, which is log2 bytes"),
    knob<&policy::x86_snp_shutdown>(
        "x86-snp-shutdown", off_or_on,
        "X86_SNP_SHUTDOWN of SNP_SHUTDOWN_EX (SNP_FEATURE_INFO ECX[1]): SNP_EN cleared on all "
        "cores",
        "an option of firmware; which processors' firmware has it is not documented"),
};

std::string known_names()
{
    std::string list;
    for (const policy_knob &k : knobs) {
        list.append(list.empty() ? "" : ", ").append(k.name);
    }
    return list;
}

std::string allowed_words(const policy_knob &k)
{
    std::string list;
    for (const policy_value &v : k.values) {
        list.append(list.empty() ? "" : " or ").append(v.word);
    }
    return list;
}

} // namespace

std::span<const policy_knob> policy_knobs()
{
    return knobs;
}

std::string set_policy(policy &p, std::string_view name, std::string_view value)
{
    const auto *const knob = std::ranges::find(knobs, name, &policy_knob::name);
    if (knob == knobs.end()) {
        return "unknown policy '" + std::string(name) + "'; known: " + known_names();
    }
    const auto chosen = std::ranges::find(knob->values, value, &policy_value::word);
    if (chosen == knob->values.end()) {
        return "policy '" + std::string(name) + "' cannot be '" + std::string(value) + "'; use " +
               allowed_words(*knob);
    }
    knob->set(p, static_cast<unsigned>(chosen - knob->values.begin()));
    return {};
}

} // namespace rmpopt::hw
