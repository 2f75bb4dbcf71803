// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control_commands.h"

#include "base/cpu_list.h"
#include "base/format.h"
#include "base/number.h"
#include "control/control_session.h"
#include "hw-model/access/rmp_check.h"
#include "hw-model/firmware/firmware.h"
#include "report/report.h"

#include <array>

namespace rmpopt
{

using nlohmann::json;
using nlohmann::ordered_json;

namespace
{

using command = ordered_json (*)(const control_target &, const json &request);

struct named_command {
    std::string_view name;
    std::string_view help;
    command run;
};

std::string text(const json &request, const char *name)
{
    const auto found = request.find(name);
    if (found == request.end() || !found->is_string()) {
        throw control_error{formatted("give \"{}\" as a string", name)};
    }
    return found->get<std::string>();
}

/// The system address in "address": a number, or a string that holds a decimal number or a
/// hexadecimal one with 0x.
hw::spa_t address(const json &request)
{
    const auto found = request.find("address");
    if (found != request.end() && found->is_number_unsigned()) {
        return found->get<hw::spa_t>();
    }
    const std::string word = text(request, "address");
    hw::spa_t spa = 0;
    if (!parse_any_number(word, spa)) {
        throw control_error{"\"address\" is not an address: give a number such as \"0x12345000\""};
    }
    return spa;
}

ordered_json status(const control_target &t, const json &)
{
    const measure_request mode = t.measured->mode();
    return {{"seconds", t.seconds},
            {"persona", t.machine->cpu().name},
            {"cpus", t.machine->cpus().threads()},
            {"cores", t.machine->cpus().cores()},
            {"snp_enabled", t.machine->snp_enabled_everywhere()},
            {"measure", mode_name(mode.mode)},
            {"interval", mode.interval},
            {"tlb", mode.tlb},
            {"memory", t.memory()}};
}

/// For each region, the CPUs for which it is optimised.
ordered_json table(const control_target &t, const json &)
{
    ordered_json out = ordered_json::array();
    for (hw::spa_t r = 0; r < t.machine->memory().end(); r += hw::region_1g) {
        out.push_back({{"gb", r / hw::region_1g}, {"cpus", optimised_cpus(*t.machine, r)}});
    }
    return out;
}

ordered_json entry_json(const hw::rmp_entry &e)
{
    return {{"assigned", e.assigned},           {"asid", e.asid},
            {"gpa", formatted("{:#x}", e.gpa)}, {"size", e.size_2m ? "2M" : "4K"},
            {"immutable", e.immutable},         {"validated", e.validated},
            {"subpage_count", e.subpage_count}};
}

ordered_json rmp(const control_target &t, const json &request)
{
    const hw::spa_t spa = address(request), page = hw::align_down(spa, hw::page_4k);
    const hw::rmp_table &rmp = t.machine->rmp();
    if (!rmp.covers(page)) {
        throw control_error{formatted("the RMP has no entry for {:#x}", spa)};
    }
    return {{"address", formatted("{:#x}", page)},
            {"entry", entry_json(rmp.load(page))},
            {"owner", entry_json(hw::rmp_owner(rmp, page))},
            {"host_writable", t.machine->is_host_writable(page)},
            {"optimised_cpus", optimised_cpus(*t.machine, page)}};
}

ordered_json cores(const control_target &t, const json &)
{
    ordered_json out = ordered_json::array();
    for (unsigned c = 0; c < t.machine->cpus().cores(); ++c) {
        const hw::core_state &core = t.machine->core(c);
        out.push_back({{"core", c},
                       {"cpus", cpus_of(t.machine->cpus(), [c](unsigned n) { return n == c; })},
                       {"snp", core.snp_en.load()},
                       {"rmpopt_base", formatted("{:#x}", core.rmpopt.msr())}});
    }
    return out;
}

ordered_json part_of_report(const control_target &t, const char *name)
{
    return t.report()[name];
}

ordered_json regions(const control_target &t, const json &)
{
    return part_of_report(t, "regions");
}

ordered_json counters(const control_target &t, const json &)
{
    ordered_json out = part_of_report(t, "counters");
    out["measure"] = t.measured->report();
    return out;
}

ordered_json report(const control_target &t, const json &)
{
    return t.report();
}

ordered_json measure(const control_target &t, const json &request)
{
    measure_request wanted;
    const std::string error = parse_measure(text(request, "mode"), wanted);
    if (!error.empty()) {
        throw control_error{"measure: " + error};
    }
    t.set_measure(wanted);
    return {
        {"measure", mode_name(wanted.mode)}, {"interval", wanted.interval}, {"tlb", wanted.tlb}};
}

ordered_json mark(const control_target &t, const json &request)
{
    constexpr std::size_t longest = 63;
    const std::string name = text(request, "name");
    if (name.size() > longest) {
        throw control_error{"a name has at most 63 bytes"};
    }
    t.measured->mark(name);
    return {{"phase", name}};
}

/// The member `name`, a whole number from 0 to `most`.
std::uint64_t number(const json &request, const char *name, std::uint64_t most)
{
    const auto found = request.find(name);
    if (found == request.end() || !found->is_number_unsigned() ||
        found->get<std::uint64_t>() > most) {
        throw control_error{formatted("give \"{}\" as a number from 0 to {}", name, most)};
    }
    return found->get<std::uint64_t>();
}

std::uint64_t count(const json &request)
{
    constexpr std::uint64_t most = 1'000'000'000;
    return request.contains("count") ? number(request, "count", most) : 1;
}

std::uint16_t firmware_command(const std::string &name)
{
    const auto found = find_firmware_command(name);
    if (!found.has_value()) {
        throw control_error{"\"command\" is no command of firmware: give a name such as "
                            "\"SNP_LAUNCH_START\""};
    }
    return *found;
}

injection_request injection_of(const control_target &t, const json &request)
{
    using kind = injection_request::kind;
    const std::string fault = text(request, "fault");
    const std::uint64_t last_gb = (t.machine->memory().end() - 1) / hw::region_1g;
    if (fault == "psp") {
        return {.what = kind::psp,
                .command = firmware_command(text(request, "command")),
                .status = static_cast<std::uint32_t>(number(request, "status", 0xffff)),
                .count = count(request)};
    }
    if (fault == "rmpupdate") {
        return {.what = kind::rmpupdate,
                .status = static_cast<std::uint32_t>(number(request, "status", 0xffffffff)),
                .count = count(request)};
    }
    if (fault == "rmpopt-clear") {
        return {.what = kind::rmpopt_clear,
                .gb = request.contains("gb") ? std::optional(number(request, "gb", last_gb))
                                             : std::nullopt};
    }
    throw control_error{"\"fault\" is psp, rmpupdate or rmpopt-clear"};
}

ordered_json inject(const control_target &t, const json &request)
{
    t.inject(injection_of(t, request));
    ordered_json said = request;
    said.erase("cmd");
    said.erase("id");
    return said;
}

ordered_json help(const control_target &, const json &);

constexpr std::array<named_command, 11> commands{{
    {"help", "this list", help},
    {"status", "guest time, CPUs, measurement mode", status},
    {"table", "the CPUs for which each 1 GB region is optimised", table},
    {"rmp", "the RMP entry of \"address\"", rmp},
    {"regions", "assigned pages and optimised CPUs of each 1 GB region", regions},
    {"cores", "SNP_EN and RMPOPT_BASE of each core", cores},
    {"counters", "counts of executed instructions and events, and the measurement", counters},
    {"measure", "\"mode\": \"off\", \"exact\", \"exact+tlb\" or \"sampled=N\"", measure},
    {"mark", "begins a phase called \"name\"; \"\" ends the current phase", mark},
    {"inject",
     "\"fault\": \"psp\" with \"command\", \"status\", \"count\"; \"rmpupdate\" with \"status\", "
     "\"count\"; \"rmpopt-clear\" with \"gb\", or without it for all regions",
     inject},
    {"report", "the whole report", report},
}};

ordered_json help(const control_target &, const json &)
{
    ordered_json out = ordered_json::object();
    for (const named_command &c : commands) {
        out[std::string(c.name)] = c.help;
    }
    out["events"] = "events from number \"since\" on, at most \"limit\"; \"follow\": true goes on "
                    "sending new ones";
    return out;
}

} // namespace

ordered_json control_command(const control_target &target, const json &request)
{
    const auto name = request["cmd"].get<std::string_view>();
    const auto *const found = std::ranges::find(commands, name, &named_command::name);
    if (found == commands.end()) {
        throw control_error{"no such command; {\"cmd\": \"help\"} lists them"};
    }
    if (target.machine == nullptr && found->name != "help") {
        throw control_error{"the guest has not started yet; try again"};
    }
    return found->run(target, request);
}

} // namespace rmpopt
