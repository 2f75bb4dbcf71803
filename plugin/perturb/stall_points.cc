// SPDX-License-Identifier: GPL-2.0-or-later
#include "perturb/stall_points.h"

#include "base/duration.h"
#include "base/format.h"
#include "base/number.h"

#include <algorithm>

namespace rmpopt
{

namespace
{

struct named_site {
    std::string_view name;
    stall_site site;
};
constexpr std::array<named_site, 7> sites{{{"rmpopt", stall_site::rmpopt},
                                           {"rmpupdate", stall_site::rmpupdate},
                                           {"psmash", stall_site::psmash},
                                           {"wrmsr", stall_site::wrmsr},
                                           {"doorbell", stall_site::doorbell},
                                           {"interrupt", stall_site::interrupt},
                                           {"pending", stall_site::pending}}};
constexpr std::string_view entry_word = "entry", idle_suffix = "/idle";
constexpr unsigned page_bits = 12;

bool take(std::string_view &text, std::string_view word)
{
    const bool has = text.starts_with(word);
    text.remove_prefix(has ? word.size() : 0);
    return has;
}

/// "entry+0x1f" or "entry-0x1f".
bool take_offset(std::string_view &text, std::int64_t &out)
{
    if (!take(text, entry_word)) {
        return false;
    }
    const bool negative = take(text, "-");
    std::int64_t distance = 0;
    if ((!negative && !take(text, "+")) || !take(text, "0x") || !take_number(text, distance, 16)) {
        return false;
    }
    out = negative ? -distance : distance;
    return distance >= 0;
}

bool take_site(std::string_view &text, stall_point &out)
{
    for (const named_site &s : sites) {
        if (take(text, s.name)) {
            out.site = s.site;
            return true;
        }
    }
    out.site = stall_site::code;
    return take_offset(text, out.offset);
}

} // namespace

std::string site_text(const stall_point &p)
{
    const auto *const named = std::ranges::find(sites, p.site, &named_site::site);
    if (named != sites.end()) {
        return std::string(named->name);
    }
    return formatted("{}{}{:#x}", entry_word, p.offset < 0 ? '-' : '+',
                     p.offset < 0 ? -p.offset : p.offset);
}

std::string parse_stall(std::string_view text, planned_stall &out)
{
    std::string_view rest = text;
    const bool has_point = take_site(rest, out.where) && take(rest, "@") &&
                           take_number(rest, out.where.cpu) && take(rest, "#") &&
                           take_number(rest, out.occurrence) && out.occurrence != 0 &&
                           take(rest, ":");
    out.time.until_idle = rest.ends_with(idle_suffix);
    rest.remove_suffix(out.time.until_idle ? idle_suffix.size() : 0);
    const auto ns = has_point ? parse_duration(rest) : std::nullopt;
    if (!ns.has_value() || *ns == 0) {
        return formatted(
            "'{}' is not SITE@CPU#OCCURRENCE:TIME, such as rmpopt@2#17:300us, with a "
            "SITE of rmpopt, rmpupdate, psmash, wrmsr, doorbell, interrupt, pending, entry+0x1f",
            text);
    }
    out.time.ns = *ns;
    return {};
}

std::string parse_code_range(std::string_view text, code_range &out)
{
    std::string_view rest = text;
    if (!take_offset(rest, out.offset) || !take(rest, "+") || !take_number(rest, out.bytes) ||
        out.bytes == 0 || !rest.empty()) {
        return formatted("'{}' is not a distance from the kernel's entry of system calls and a "
                         "number of bytes, such as entry-0x1f40+120",
                         text);
    }
    return {};
}

void stall_points::start(stall_plan plan)
{
    is_on_ = !plan.is_empty();
    waits_for_mark_ = plan.waits_for_mark;
    code_ = std::move(plan.code);
    for (const planned_stall &s : plan.stalls) {
        seen_[s.where].stalls.emplace_back(s.occurrence, s.time);
        if (s.where.site == stall_site::code) {
            code_.push_back({s.where.offset, 1});
        }
    }
}

void stall_points::snp_is_on()
{
    counts_ = counts_ || !waits_for_mark_;
}

void stall_points::guest_says(bool counts)
{
    counts_ = waits_for_mark_ ? counts : counts_;
}

void stall_points::set_entry(std::uint64_t address)
{
    entry_ = address;
    pages_.clear();
    for (const code_range &c : code_) {
        const std::uint64_t first = address + static_cast<std::uint64_t>(c.offset);
        for (std::uint64_t page = first >> page_bits; page <= (first + c.bytes - 1) >> page_bits;
             ++page) {
            pages_.insert(page);
        }
    }
}

bool stall_points::has_code_in_page(std::uint64_t address) const
{
    return pages_.contains(address >> page_bits);
}

bool stall_points::is_code(std::uint64_t address) const
{
    return has_code_in_page(address) && std::ranges::any_of(code_, [&](const code_range &c) {
               return address - (*entry_ + static_cast<std::uint64_t>(c.offset)) < c.bytes;
           });
}

stall_time stall_points::reach_code(std::uint64_t address, unsigned cpu)
{
    const auto stalled = stalled_at_.find(cpu);
    if (stalled != stalled_at_.end() && stalled->second == address) {
        stalled_at_.erase(stalled);
        return {};
    }
    const stall_time time =
        reach({stall_site::code, static_cast<std::int64_t>(address - *entry_), cpu});
    if (time.ns != 0) {
        stalled_at_[cpu] = address;
    }
    return time;
}

stall_time stall_points::reach(const stall_point &at)
{
    if (!counts_) {
        return {};
    }
    const std::scoped_lock lock(lock_);
    seen &here = seen_[at];
    ++here.times;
    const auto planned =
        std::ranges::find(here.stalls, here.times, &std::pair<std::uint64_t, stall_time>::first);
    return planned == here.stalls.end() ? stall_time{} : planned->second;
}

std::vector<stall_points::count> stall_points::counts() const
{
    const std::scoped_lock lock(lock_);
    std::vector<count> all;
    for (const auto &[where, here] : seen_) {
        if (here.times != 0) {
            all.push_back({where, here.times});
        }
    }
    return all;
}

} // namespace rmpopt
