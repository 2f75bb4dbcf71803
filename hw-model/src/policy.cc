// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/policy.h"

#include <algorithm>
#include <array>

namespace rmpopt::hw
{

namespace
{

constexpr std::array cf0_or_gp{choice::cf0, choice::gp};
constexpr std::array gp_or_ud{choice::gp, choice::ud};
constexpr std::array gp_or_ignore{choice::gp, choice::ignore};
constexpr std::array ud_or_cf0{choice::ud, choice::cf0};
constexpr std::array clear_or_keep{choice::clear, choice::keep};
constexpr std::array two_or_seven{choice::code2, choice::code7};

constexpr std::array<policy_knob, 9> knobs{{
    {"oow", &policy::oow, cf0_or_gp, "RMPOPT of an address outside the core's 2 TB window",
     "not documented; nobody reported a fault from kernels that looked beyond the window"},
    {"rcx", &policy::rcx, cf0_or_gp, "RMPOPT with a function number above 1",
     "not documented; only 0 and 1 are defined at present (AMD, RMPOPT series)"},
    {"cpl", &policy::cpl, gp_or_ud, "RMPOPT at CPL > 0",
     "not documented; RMPUPDATE and PSMASH raise #GP(0)"},
    {"wrmsr-nosnp", &policy::wrmsr_nosnp, gp_or_ignore,
     "WRMSR that enables RMPOPT_BASE without SNP_EN or with a contiguous RMP",
     "that it cannot be enabled: AMD, 2026-06-19; how the write is refused is not documented"},
    {"snpoff-exec", &policy::snpoff_exec, ud_or_cf0,
     "RMPOPT on a core with RMPOPT_EN set after firmware cleared SNP_EN", "not documented"},
    {"msr-rewrite", &policy::msr_rewrite, clear_or_keep,
     "the core's table when RMPOPT_BASE is written again", "not documented"},
    {"msr-reserved", &policy::msr_reserved, gp_or_ignore,
     "WRMSR RMPOPT_BASE with bits 29:1 or bits above the physical address width set",
     "not documented; Linux writes them as 0"},
    {"psmash-kind", &policy::psmash_kind, two_or_seven,
     "result of PSMASH on an entry that is no assigned 2 MB page",
     "sources differ: FAIL_PERMISSION (2) or FAIL_BADADDR (7)"},
    {"rmp-msr-locked", &policy::rmp_msr_locked, gp_or_ignore,
     "WRMSR RMP_BASE or RMP_END while SNP_EN is set",
     "not in APM vol. 2's list of locked MSRs (15.36.2); RMP_CFG is"},
}};

struct choice_word {
    choice value;
    std::string_view word;
};
constexpr std::array<choice_word, 8> words{{
    {choice::cf0, "cf0"},
    {choice::gp, "gp"},
    {choice::ud, "ud"},
    {choice::ignore, "ignore"},
    {choice::clear, "clear"},
    {choice::keep, "keep"},
    {choice::code2, "2"},
    {choice::code7, "7"},
}};

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
    for (const choice c : k.allowed) {
        list.append(list.empty() ? "" : " or ").append(choice_name(c));
    }
    return list;
}

} // namespace

std::span<const policy_knob> policy_knobs()
{
    return knobs;
}

std::string_view choice_name(choice c)
{
    return std::ranges::find(words, c, &choice_word::value)->word;
}

std::string set_policy(policy &p, std::string_view name, std::string_view value)
{
    const auto *knob = std::ranges::find(knobs, name, &policy_knob::name);
    if (knob == knobs.end()) {
        return "unknown policy '" + std::string(name) + "'; known: " + known_names();
    }
    for (const choice c : knob->allowed) {
        if (choice_name(c) == value) {
            p.*knob->member = c;
            return {};
        }
    }
    return "policy '" + std::string(name) + "' cannot be '" + std::string(value) + "'; use " +
           allowed_words(*knob);
}

} // namespace rmpopt::hw
