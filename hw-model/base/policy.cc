// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/base/policy.h"

#include <algorithm>
#include <array>

namespace rmpopt::hw
{

namespace
{

struct choice_word {
    choice value;
    std::string_view word;
    std::string_view meaning;
};
constexpr std::array words{
    choice_word{choice::cf0, "cf0", "CF=0, no exception"},
    choice_word{choice::cf1, "cf1", "CF=1, no exception"},
    choice_word{choice::gp, "gp", "#GP(0)"},
    choice_word{choice::ud, "ud", "#UD"},
    choice_word{choice::ignore, "ignore", "what is not allowed is not written, no exception"},
    choice_word{choice::clear, "clear", "cleared"},
    choice_word{choice::keep, "keep", "kept as before"},
    choice_word{choice::set, "set", "set from the result"},
    choice_word{choice::block, "block", "the region is not optimised"},
    choice_word{choice::clean, "clean", "the region can be optimised"},
    choice_word{choice::round, "round", "rounded down, no error"},
    choice_word{choice::cut, "cut", "the high bits are dropped"},
    choice_word{choice::first, "first", "checked before the others"},
    choice_word{choice::last, "last", "checked after the others"},
    choice_word{choice::bytes, "bytes", "log2 of bytes"},
    choice_word{choice::mb, "mb", "log2 of MB"},
    choice_word{choice::code0, "0", "EAX=0, SUCCESS"},
    choice_word{choice::code1, "1", "EAX=1, FAIL_INPUT"},
    choice_word{choice::code2, "2", "EAX=2, FAIL_PERMISSION"},
    choice_word{choice::code4, "4", "EAX=4, FAIL_OVERLAP"},
    choice_word{choice::code7, "7", "EAX=7, FAIL_BADADDR"},
    choice_word{choice::allow, "allow", "allowed"},
    choice_word{choice::fault, "fault", "#PF with the RMP bit"},
    choice_word{choice::access, "access", "as the access that needed it"},
    choice_word{choice::write, "write", "always a write"},
    choice_word{choice::off, "off", "not offered"},
    choice_word{choice::on, "on", "offered"},
};

std::string known_names()
{
    std::string list;
    for (const policy_knob &k : policy_knobs()) {
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

std::string_view choice_name(choice c)
{
    return std::ranges::find(words, c, &choice_word::value)->word;
}

std::string_view choice_meaning(choice c)
{
    return std::ranges::find(words, c, &choice_word::value)->meaning;
}

std::string set_policy(policy &p, std::string_view name, std::string_view value)
{
    const std::span<const policy_knob> knobs = policy_knobs();
    const auto knob = std::ranges::find(knobs, name, &policy_knob::name);
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
