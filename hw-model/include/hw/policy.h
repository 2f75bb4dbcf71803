// SPDX-License-Identifier: GPL-2.0-or-later
// Every choice that no document settles, by name. Changing one must never need a rebuild.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace rmpopt::hw
{

/// The outcomes that the choices pick from; each knob allows a few of them.
enum class choice : unsigned char { cf0, gp, ud, ignore, clear, keep, code2, code7 };

struct policy {
    choice oow = choice::cf0;           ///< RMPOPT of an address outside the core's window
    choice rcx = choice::gp;            ///< RMPOPT with RCX > 1
    choice cpl = choice::gp;            ///< RMPOPT at CPL > 0
    choice wrmsr_nosnp = choice::gp;    ///< WRMSR RMPOPT_BASE with enable, without SNP_EN
    choice snpoff_exec = choice::ud;    ///< RMPOPT with SNP_EN cleared, RMPOPT_EN left set
    choice msr_rewrite = choice::clear; ///< table when RMPOPT_BASE is written again
    choice msr_reserved = choice::gp;   ///< WRMSR RMPOPT_BASE with reserved bits set
    choice psmash_kind = choice::code2; ///< PSMASH of an entry that is no assigned 2 MB page
    choice rmp_msr_locked = choice::gp; ///< WRMSR RMP_BASE/RMP_END with SNP_EN
};

struct policy_knob {
    std::string_view name;
    choice policy::*member;
    std::span<const choice> allowed;
    std::string_view meaning;
    std::string_view source;
};

std::span<const policy_knob> policy_knobs();
std::string_view choice_name(choice c);
/// Empty string when set; otherwise one line that says what is wrong and what would be right.
std::string set_policy(policy &p, std::string_view name, std::string_view value);

} // namespace rmpopt::hw
