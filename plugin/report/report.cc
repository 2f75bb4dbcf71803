// SPDX-License-Identifier: GPL-2.0-or-later
#include "report/report.h"

#include "base/cpu_list.h"
#include "base/format.h"
#include "plugin_version.h"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace rmpopt
{

using nlohmann::ordered_json;

namespace
{

constexpr auto interval = std::chrono::seconds(1);

std::string hex(std::uint64_t v)
{
    return formatted("{:#x}", v);
}

std::string_view layout_name(hw::rmp_layout l)
{
    switch (l) {
    case hw::rmp_layout::contiguous:
        return "contiguous";
    case hw::rmp_layout::segmented:
        return "segmented";
    case hw::rmp_layout::none:
        break;
    }
    return "none";
}

ordered_json policies(const hw::machine &m)
{
    ordered_json out;
    for (const hw::policy_knob &k : hw::policy_knobs()) {
        out[std::string(k.name)] = k.value_in(m.choices()).word;
    }
    return out;
}

ordered_json counters(const hw::counter_set &c)
{
    return {
        {"rmpopt", c.rmpopt.load()},
        {"rmpopt_set", c.rmpopt_set.load()},
        {"rmpopt_scans", c.rmpopt_scans.load()},
        {"rmpopt_cached", c.rmpopt_cached.load()},
        {"rmpopt_scanned_2m", c.rmpopt_scanned_2m.load()},
        {"rmpupdate", c.rmpupdate.load()},
        {"rmpupdate_failed", c.rmpupdate_failed.load()},
        {"psmash", c.psmash.load()},
        {"psmash_failed", c.psmash_failed.load()},
        {"rmpread", c.rmpread.load()},
        {"rmp_faults", c.rmp_faults.load()},
        {"audits", c.audits.load()},
        {"dma_blocked", c.dma_blocked.load()},
        {"msr_gp", c.msr_gp.load()},
    };
}

/// Assigned pages of a 1 GB region, from its 2 MB entries alone.
std::uint64_t assigned_pages(const hw::rmp_table &rmp, hw::spa_t region)
{
    std::uint64_t pages = 0;
    for (hw::spa_t spa = region; spa != region + hw::region_1g; spa += hw::page_2m) {
        const hw::rmp_entry e = rmp.load(spa);
        pages += e.assigned && e.size_2m ? hw::pages_per_2m : e.subpage_count + e.assigned;
    }
    return pages;
}

ordered_json regions(const hw::machine &m)
{
    ordered_json out = ordered_json::array();
    for (hw::spa_t r = 0; r < m.memory().end(); r += hw::region_1g) {
        out.push_back(
            {{"gb", r / hw::region_1g},
             {"assigned_pages", m.snp_enabled_somewhere() ? assigned_pages(m.rmp(), r) : 0},
             {"optimised_cpus", optimised_cpus(m, r)}});
    }
    return out;
}

ordered_json rmp(const hw::rmp_table &t)
{
    const hw::rmp_config &c = t.config();
    return {{"layout", layout_name(c.layout)},
            {"base", hex(c.base)},
            {"end", hex(c.end)},
            {"covered_bytes", t.covered_bytes()}};
}

ordered_json commands_by_name(const hw::firmware_snapshot &s)
{
    ordered_json out = ordered_json::object();
    for (const auto &[command, times] : s.by_command) {
        out[std::string(hw::firmware_command_name(command))] = times;
    }
    return out;
}

ordered_json psp(const report_snapshot &s)
{
    return {{"present", s.psp_present},
            {"state", s.psp.platform_init ? "init" : "uninit"},
            {"snp_state", s.psp.snp_init ? "init" : "uninit"},
            {"commands", s.psp.commands},
            {"last_command", hex(s.psp.last_command)},
            {"last_status", hex(s.psp.last_status)},
            {"failed", s.psp.failed},
            {"guests", s.psp.guests},
            {"by_command", commands_by_name(s.psp)}};
}

ordered_json finding_json(const finding &f)
{
    const finding_info &info = *f.kind;
    ordered_json out{{"id", info.id},
                     {"severity", severity_name(info.level)},
                     {"seconds", static_cast<double>(f.at) / guest_second},
                     {"cpu", nullptr},
                     {"rip", nullptr},
                     {"address", nullptr},
                     {"what", f.what},
                     {"hint", info.hint},
                     {"count", f.count}};
    if (f.cpu.has_value()) {
        out["cpu"] = *f.cpu;
    }
    if (f.rip.has_value()) {
        out["rip"] = hex(*f.rip);
    }
    if (f.spa.has_value()) {
        out["address"] = hex(*f.spa);
    }
    return out;
}

ordered_json pass_json(const rmpopt_pass &p)
{
    return {{"start", static_cast<double>(p.start) / guest_second},
            {"end", static_cast<double>(p.end) / guest_second},
            {"executed", p.executed},
            {"optimised", p.optimised},
            {"cores", p.by_core.size()},
            {"repeated", p.repeated}};
}

/// What the watch found; null when nobody watches.
ordered_json watch_json(const report_snapshot &s)
{
    if (s.watcher == nullptr) {
        return nullptr;
    }
    ordered_json out{{"bound_seconds", s.watcher->bound() / guest_second},
                     {"pass_count", s.watcher->pass_count()},
                     {"passes", ordered_json::array()},
                     {"unmapped", s.watcher->unmapped()},
                     {"findings", ordered_json::array()},
                     {"awaited", ordered_json::array()}};
    for (const rmpopt_pass &p : s.watcher->passes()) {
        out["passes"].push_back(pass_json(p));
    }
    for (const finding &f : s.watcher->findings()) {
        out["findings"].push_back(finding_json(f));
    }
    for (const awaited_finding &f : s.watcher->awaited()) {
        out["awaited"].push_back({{"id", f.kind->id},
                                  {"severity", severity_name(f.kind->level)},
                                  {"seconds", static_cast<double>(f.lasted) / guest_second},
                                  {"what", f.what}});
    }
    return out;
}

ordered_json points(const std::vector<stall_points::count> &counts)
{
    ordered_json out = ordered_json::array();
    for (const auto &[where, times] : counts) {
        out.push_back({{"site", site_text(where)}, {"cpu", where.cpu}, {"times", times}});
    }
    return out;
}

/// The CPUs whose core is so.
template <class F> std::string cpus_with(const hw::machine &m, F is_so)
{
    return cpus_of(m.cpus(), [&](unsigned core) { return is_so(m.core(core)); });
}

/// Replaces the file in one step. Returns an empty string or why it cannot be written.
std::string replace_file(const std::string &path, const std::string &text)
{
    const std::string temporary = path + ".tmp";
    const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool ok = fd >= 0 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    ok = (fd < 0 || close(fd) == 0) && ok;
    ok = ok && std::rename(temporary.c_str(), path.c_str()) == 0;
    return ok ? "" : "option report: cannot write " + path + ": " + std::strerror(errno);
}

} // namespace

std::string optimised_cpus(const hw::machine &m, hw::spa_t region)
{
    return cpus_with(m, [region](const hw::core_state &c) { return c.rmpopt.test(region); });
}

std::string render_report(const report_snapshot &s)
{
    ordered_json out;
    out["schema"] = 1;
    out["plugin_version"] = plugin_version;
    out["persona"] = s.persona;
    if (s.machine != nullptr) {
        const hw::machine &m = *s.machine;
        out["policies"] = policies(m);
        out["rmp"] = rmp(m.rmp());
        out["cpus"] = m.cpus().threads();
        out["cores"] = m.cpus().cores();
        out["cpu_core"] = m.cpus().core_of_thread;
        out["snp_enabled"] = m.snp_enabled_everywhere();
        out["snp_cpus"] = cpus_with(m, [](const hw::core_state &c) { return c.snp_en.load(); });
        out["rmpopt_possible"] = m.rmpopt_is_possible();
        out["rmpopt_cpus"] =
            cpus_with(m, [](const hw::core_state &c) { return c.rmpopt.enabled(); });
        out["counters"] = counters(m.counters());
        out["counters"]["guard_changes"] = s.guard_changes;
        out["counters"]["stale_breakpoints"] = s.stale_breakpoints;
        out["counters"]["changed_blocks"] = s.changed_blocks;
        out["regions"] = regions(m);
    }
    out["encrypted_guests"] = s.encrypted_guests;
    out["measure"] = s.measure;
    out["watch"] = watch_json(s);
    out["lstar"] = s.lstar == 0 ? ordered_json() : ordered_json(hex(s.lstar));
    out["schedule"] = s.schedule.has_value() ? ordered_json{{"hash", hex(s.schedule->hash)},
                                                            {"events", s.schedule->events}}
                                             : ordered_json();
    if (s.complete) {
        out["points"] = points(s.points);
    }
    out["psp"] = psp(s);
    out["enforcement"] = s.enforcement;
    out["messages"] = s.messages;
    out["complete"] = s.complete;
    return out.dump(1) + "\n";
}

reporter::~reporter()
{
    finish();
}

std::string reporter::start(const std::string &path, std::function<report_snapshot(bool)> source)
{
    path_ = path;
    source_ = std::move(source);
    std::string error = write(false, when::always);
    if (error.empty()) {
        ticker_.start(interval, [this] { write(false, when::if_changed); });
    }
    return error;
}

void reporter::finish()
{
    if (!ticker_.running()) {
        return;
    }
    ticker_.stop();
    write(true, when::always);
}

void reporter::write_now()
{
    if (source_) {
        write(false, when::always);
    }
}

std::string reporter::write(bool complete, when w)
{
    const std::uint64_t number = ++begun_;
    std::string text = render_report(source_(complete));
    const std::scoped_lock lock(file_lock_);
    if (number < written_ || (w == when::if_changed && text == text_)) {
        return {};
    }
    std::string error = replace_file(path_, text);
    if (error.empty()) {
        written_ = number;
        text_ = std::move(text);
    }
    return error;
}

} // namespace rmpopt
