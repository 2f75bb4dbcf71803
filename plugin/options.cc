// SPDX-License-Identifier: GPL-2.0-or-later
#include "options.h"

#include <array>
#include <charconv>
#include <string_view>

namespace rmpopt
{

namespace
{

std::string list_personas()
{
    std::string list;
    for (const hw::cpu_model &p : hw::cpu_models()) {
        list.append(list.empty() ? "" : ", ").append(p.name);
    }
    return list;
}

std::string set_persona(options &o, std::string_view v)
{
    const hw::cpu_model *p = hw::find_cpu_model(v);
    if (p == nullptr) {
        return "option persona: no persona '" + std::string(v) + "'; use one of " + list_personas();
    }
    o.persona = p;
    return {};
}

std::string set_rmp(options &o, std::string_view v)
{
    struct word {
        std::string_view name;
        rmp_choice value;
    };
    static constexpr std::array<word, 4> words{{{"auto", rmp_choice::automatic},
                                                {"segmented", rmp_choice::segmented},
                                                {"contiguous", rmp_choice::contiguous},
                                                {"none", rmp_choice::none}}};
    for (const word &w : words) {
        if (w.name == v) {
            o.rmp = w.value;
            return {};
        }
    }
    return "option rmp: '" + std::string(v) + "' is not auto, segmented, contiguous or none";
}

std::string set_enforce(options &o, std::string_view v)
{
    if (v != "on" && v != "off" && v != "strict") {
        return "option enforce: '" + std::string(v) + "' is not on, off or strict";
    }
    o.enforce = v == "on" ? enforcement::on : v == "off" ? enforcement::off : enforcement::strict;
    return {};
}

bool parse_number(unsigned &number, std::string_view v)
{
    const auto [end, error] = std::from_chars(v.data(), v.data() + v.size(), number);
    return error == std::errc{} && end == v.data() + v.size();
}

std::string set_audit(options &o, std::string_view v)
{
    return parse_number(o.audit, v) ? ""
                                    : "option audit: '" + std::string(v) +
                                          "' is no number; give how many RMP "
                                          "instructions apart, or 0";
}

std::string set_watch(options &o, std::string_view v)
{
    o.watch = v == "on";
    return v == "on" || v == "off" ? "" : "option watch: '" + std::string(v) + "' is not on or off";
}

std::string set_watch_bound(options &o, std::string_view v)
{
    constexpr unsigned most = 86400;
    return parse_number(o.watch_bound, v) && o.watch_bound > 0 && o.watch_bound <= most
               ? ""
               : "option watch-bound: '" + std::string(v) + "' is no number of seconds from 1 to " +
                     std::to_string(most);
}

std::string set_tlb(options &o, std::string_view v)
{
    const std::string error = parse_tlb(v, o.tlb);
    return error.empty() ? "" : "option tlb: " + error;
}

std::string set_measure(options &o, std::string_view v)
{
    const std::string error = parse_measure(v, o.measure);
    return error.empty() ? "" : "option measure: " + error;
}

std::string set_path(std::string &path, std::string_view name, std::string_view v)
{
    if (v.empty()) {
        return "option " + std::string(name) + ": give a path after '='";
    }
    path = v;
    return {};
}

std::string set_option(options &o, std::string_view name, std::string_view value)
{
    static constexpr std::string_view policy_prefix = "policy.";
    if (name == "persona") {
        return set_persona(o, value);
    }
    if (name == "rmp") {
        return set_rmp(o, value);
    }
    if (name == "enforce") {
        return set_enforce(o, value);
    }
    if (name == "audit") {
        return set_audit(o, value);
    }
    if (name == "watch") {
        return set_watch(o, value);
    }
    if (name == "watch-bound") {
        return set_watch_bound(o, value);
    }
    if (name == "tlb") {
        return set_tlb(o, value);
    }
    if (name == "measure") {
        return set_measure(o, value);
    }
    if (name == "psp") {
        return set_path(o.psp, name, value);
    }
    if (name == "control") {
        return set_path(o.control, name, value);
    }
    if (name == "events") {
        return set_path(o.events, name, value);
    }
    if (name == "log") {
        return set_path(o.log, name, value);
    }
    if (name == "report") {
        return set_path(o.report, name, value);
    }
    if (name == "probe") {
        return set_path(o.probe, name, value);
    }
    if (name == "break") {
        return set_path(o.broken_fact, name, value);
    }
    if (name.starts_with(policy_prefix)) {
        return hw::set_policy(o.policy, name.substr(policy_prefix.size()), value);
    }
    return "unknown option '" + std::string(name) +
           "'; known: persona, rmp, enforce, audit, watch, watch-bound, measure, tlb, psp, "
           "control, events, log, report, probe, "
           "break, policy.NAME";
}

std::string check_combination(const options &o)
{
    if (o.rmp == rmp_choice::segmented && !o.persona->segmented_rmp) {
        return "option rmp: persona " + std::string(o.persona->name) +
               " has no segmented RMP; use rmp=contiguous or another persona";
    }
    return {};
}

} // namespace

hw::rmp_layout options::layout() const
{
    switch (rmp) {
    case rmp_choice::automatic:
        return persona->layout;
    case rmp_choice::segmented:
        return hw::rmp_layout::segmented;
    case rmp_choice::contiguous:
        return hw::rmp_layout::contiguous;
    case rmp_choice::none:
        break;
    }
    return hw::rmp_layout::none;
}

std::string parse_options(int argc, const char *const *argv, options &out)
{
    for (int i = 0; i < argc; ++i) {
        const std::string_view arg = argv[i];
        const std::size_t eq = arg.find('=');
        if (eq == std::string_view::npos) {
            return "option '" + std::string(arg) + "' is not of the form name=value";
        }
        std::string error = set_option(out, arg.substr(0, eq), arg.substr(eq + 1));
        if (!error.empty()) {
            return error;
        }
    }
    return check_combination(out);
}

} // namespace rmpopt
