// SPDX-License-Identifier: GPL-2.0-or-later
#include "options.h"

#include "base/format.h"
#include "base/number.h"

#include <algorithm>
#include <array>
#include <ranges>
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

// Parsers of values. Each returns an empty string, or what is wrong with the value.

std::string set_persona(options &o, std::string_view v)
{
    const hw::cpu_model *p = hw::find_cpu_model(v);
    if (p == nullptr) {
        return formatted("no persona '{}'; use one of {}", v, list_personas());
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
    return formatted("'{}' is not auto, segmented, contiguous or none", v);
}

std::string set_enforce(options &o, std::string_view v)
{
    if (v != "on" && v != "off" && v != "strict") {
        return formatted("'{}' is not on, off or strict", v);
    }
    o.enforce = v == "on" ? enforcement::on : v == "off" ? enforcement::off : enforcement::strict;
    return {};
}

std::string set_audit(options &o, std::string_view v)
{
    return parse_number(v, o.audit)
               ? ""
               : formatted("'{}' is no number; give how many RMP instructions apart, or 0", v);
}

template <bool options::*flag> std::string set_switch(options &o, std::string_view v)
{
    o.*flag = v == "on";
    return v == "on" || v == "off" ? "" : formatted("'{}' is not on or off", v);
}

std::string set_watch_bound(options &o, std::string_view v)
{
    constexpr unsigned most = 86400;
    return parse_number(v, o.watch_bound) && o.watch_bound > 0 && o.watch_bound <= most
               ? ""
               : formatted("'{}' is no number of seconds from 1 to {}", v, most);
}

std::string set_time_limit(options &o, std::string_view v)
{
    return parse_number(v, o.time_limit) ? "" : formatted("'{}' is no number of seconds", v);
}

std::string set_tlb(options &o, std::string_view v)
{
    return parse_tlb(v, o.tlb);
}

std::string set_measure(options &o, std::string_view v)
{
    return parse_measure(v, o.measure);
}

template <std::string options::*path> std::string set_path(options &o, std::string_view v)
{
    o.*path = v;
    return v.empty() ? "give a path after '='" : "";
}

std::string set_psp_latency(options &o, std::string_view v)
{
    return psp::latency::parse(v, o.psp_latency);
}

std::string set_points(options &o, std::string_view v)
{
    o.stalls.counts = v == "on" || v == "marked";
    o.stalls.waits_for_mark = v == "marked";
    return o.stalls.counts || v == "off" ? "" : formatted("'{}' is not on, marked or off", v);
}

std::string add_stall(options &o, std::string_view v)
{
    return parse_stall(v, o.stalls.stalls.emplace_back());
}

std::string add_code_range(options &o, std::string_view v)
{
    return parse_code_range(v, o.stalls.code.emplace_back());
}

std::string add_injection(options &o, std::string_view v)
{
    return parse_injection(v, o.injections.emplace_back());
}

std::string set_turns(options &o, std::string_view v)
{
    std::vector<unsigned> &turns = o.turns;
    turns.clear();
    bool is_list = true;
    for (const auto part : std::views::split(v, ':')) {
        is_list = parse_number(std::string_view(part.begin(), part.end()), turns.emplace_back()) &&
                  is_list;
    }
    std::vector<unsigned> sorted = turns;
    std::ranges::sort(sorted);
    for (unsigned cpu = 0; cpu < sorted.size(); ++cpu) {
        is_list = is_list && sorted[cpu] == cpu;
    }
    return is_list && !turns.empty() && turns.front() == 0
               ? ""
               : formatted("'{}' is no order of all CPUs that begins with 0, such as 0:2:1:3", v);
}

std::string refuse_psp(options &, std::string_view)
{
    return "the secure processor needs no option any more; give QEMU -device rmpopt-psp";
}

struct option {
    std::string_view name;
    std::string (*set)(options &o, std::string_view value);
};

/// All options. A new one is a row here and a field of `options`, which documents its meaning.
constexpr std::array table{
    option{"persona", set_persona},
    option{"rmpopt", set_switch<&options::rmpopt>},
    option{"rmp", set_rmp},
    option{"enforce", set_enforce},
    option{"audit", set_audit},
    option{"deterministic", set_switch<&options::deterministic>},
    option{"watch", set_switch<&options::watch>},
    option{"watch-bound", set_watch_bound},
    option{"measure", set_measure},
    option{"tlb", set_tlb},
    option{"psp", refuse_psp},
    option{"psp-latency", set_psp_latency},
    option{"turns", set_turns},
    option{"inject", add_injection},
    option{"points", set_points},
    option{"points-code", add_code_range},
    option{"stall", add_stall},
    option{"control", set_path<&options::control>},
    option{"events", set_path<&options::events>},
    option{"schedule", set_path<&options::schedule>},
    option{"time-limit", set_time_limit},
    option{"log", set_path<&options::log>},
    option{"report", set_path<&options::report>},
    option{"probe", set_path<&options::probe>},
    option{"break", set_path<&options::broken_fact>},
};
constexpr std::string_view policy_prefix = "policy.";

std::string unknown_option(std::string_view name)
{
    std::string text = "unknown option '" + std::string(name) + "'; known: ";
    for (const option &known : table) {
        text.append(known.name).append(", ");
    }
    return text + "policy.NAME";
}

std::string set_option(options &o, std::string_view name, std::string_view value)
{
    if (name.starts_with(policy_prefix)) {
        return hw::set_policy(o.policy, name.substr(policy_prefix.size()), value);
    }
    const auto *const known = std::ranges::find(table, name, &option::name);
    if (known == table.end()) {
        return unknown_option(name);
    }
    const std::string error = known->set(o, value);
    return error.empty() ? "" : "option " + std::string(name) + ": " + error;
}

std::string check_combination(const options &o)
{
    if (o.rmp == rmp_choice::segmented && !o.persona->segmented_rmp) {
        return "option rmp: persona " + std::string(o.persona->name) +
               " has no segmented RMP; use rmp=contiguous or another persona";
    }
    if (!o.deterministic && !(o.stalls.is_empty() && o.turns.empty())) {
        return "options turns, points, points-code and stall need deterministic=on";
    }
    return {};
}

} // namespace

hw::cpu_model options::cpu() const
{
    hw::cpu_model here = *persona;
    here.rmpopt = here.rmpopt && rmpopt;
    return here;
}

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
