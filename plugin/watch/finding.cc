// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/finding.h"

#include "base/format.h"

namespace rmpopt
{

namespace
{

std::string coordinates(const finding &f)
{
    std::string text = formatted("{:.3f} s", static_cast<double>(f.at) / guest_second);
    if (f.cpu.has_value()) {
        text += formatted(", CPU {}", *f.cpu);
    }
    if (f.rip.has_value()) {
        text += formatted(", RIP {:#x}", *f.rip);
    }
    return text;
}

} // namespace

std::string_view severity_name(severity s)
{
    return s == severity::note ? "note" : s == severity::warning ? "warning" : "error";
}

std::string to_line(const finding &f)
{
    return formatted("{}: {} [{}]; {}", f.kind->id, f.what, coordinates(f), f.kind->hint);
}

void finding_log::add(finding_kind kind, const std::string &key, const place &where, guest_time at,
                      std::optional<hw::spa_t> spa, const std::string &what)
{
    const std::scoped_lock lock(lock_);
    const auto [known, is_new] = index_.try_emplace({kind.info(), key}, findings_.size());
    if (!is_new) {
        ++findings_[known->second].count;
        return;
    }
    if (kept_[kind.info()] == most_of_a_kind) {
        index_.erase(known);
        return;
    }
    ++kept_[kind.info()];
    findings_.push_back({.kind = kind.info(),
                         .at = at,
                         .cpu = where.cpu,
                         .rip = where.rip(),
                         .spa = spa,
                         .what = what});
    if (on_new_) {
        on_new_(findings_.back());
    }
}

std::vector<finding> finding_log::all() const
{
    const std::scoped_lock lock(lock_);
    return findings_;
}

bool finding_log::has(finding_kind kind, const std::string &key) const
{
    const std::scoped_lock lock(lock_);
    return index_.contains({kind.info(), key});
}

} // namespace rmpopt
