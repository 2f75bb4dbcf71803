// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/finding.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace rmpopt
{

namespace
{

constexpr std::array<finding_info, 17> infos{{
    {finding_kind::rmpopt_disabled, "rmpopt-disabled", severity::error,
     "each core needs RMPOPT_BASE.RMPOPT_EN before its first RMPOPT"},
    {finding_kind::rmpopt_after_shutdown, "rmpopt-after-shutdown", severity::error,
     "cancel pending passes before SNP_SHUTDOWN_EX"},
    {finding_kind::rmpopt_refused, "rmpopt-refused", severity::error,
     "look at the operands: RAX is a system physical address, RCX 0 or 1"},
    {finding_kind::rmpopt_unused, "rmpopt-unused", severity::note,
     "this kernel does not use RMPOPT, or switched it off"},
    {finding_kind::msr_refused, "msr-refused", severity::error,
     "the write raised #GP(0): SNP_EN and a segmented RMP come before RMPOPT_EN, RMP registers "
     "before SNP_EN"},
    {finding_kind::msr_lost, "msr-lost", severity::error,
     "the register does not hold what was written: read it back, or look at the order of writes"},
    {finding_kind::msr_unequal, "msr-unequal", severity::error,
     "firmware wants the same value on all CPUs before SNP_INIT_EX"},
    {finding_kind::rmpopt_base_unequal, "rmpopt-base-unequal", severity::error,
     "write RMPOPT_BASE on one thread of every core, also of cores that come online later"},
    {finding_kind::lost_optimisation, "lost-optimisation", severity::error,
     "nothing sets a bit again but RMPOPT on that core, after the last change of the region"},
    {finding_kind::sibling_repeat, "sibling-repeat", severity::warning,
     "both threads of a core share one table: one of them is enough"},
    {finding_kind::useless_pass, "useless-pass", severity::warning,
     "no RMP entry and no table has changed since the pass before"},
    {finding_kind::pass_during_teardown, "pass-during-teardown", severity::warning,
     "start the delay when the guest's last page is back"},
    {finding_kind::rmp_retry, "rmp-retry", severity::error,
     "only FAIL_OVERLAP can go away by itself; for the others the page's state must change first"},
    {finding_kind::host_write, "host-write", severity::error,
     "the host may not write to pages that are assigned to a guest or to firmware"},
    {finding_kind::pages_leaked, "pages-leaked", severity::error,
     "each page of a guest goes back with RMPUPDATE; pages that are leaked keep their 1 GB region "
     "from being optimised"},
    {finding_kind::firmware_pages_left, "firmware-pages-left", severity::error,
     "pages given to firmware come back by SNP_PAGE_RECLAIM and RMPUPDATE"},
    {finding_kind::dirty_rmp, "dirty-rmp", severity::error,
     "zero the RMP and its bookkeeping area before SNP_EN is set"},
}};

std::string coordinates(const finding &f)
{
    std::string text = fmt::format("{:.3f} s", static_cast<double>(f.at) / guest_second);
    if (f.cpu.has_value()) {
        text += fmt::format(", CPU {}", *f.cpu);
    }
    if (f.rip.has_value()) {
        text += fmt::format(", RIP {:#x}", *f.rip);
    }
    return text;
}

} // namespace

std::string_view severity_name(severity s)
{
    return s == severity::note ? "note" : s == severity::warning ? "warning" : "error";
}

std::span<const finding_info> finding_infos()
{
    return infos;
}

const finding_info &info_of(finding_kind kind)
{
    return *std::ranges::find(infos, kind, &finding_info::kind);
}

std::string to_line(const finding &f)
{
    const finding_info &info = info_of(f.kind);
    return fmt::format("{}: {} [{}]; {}", info.id, f.what, coordinates(f), info.hint);
}

void finding_log::add(finding_kind kind, const std::string &key, const place &where, guest_time at,
                      std::optional<hw::spa_t> spa, const std::string &what)
{
    const std::scoped_lock lock(lock_);
    const auto [known, is_new] = index_.try_emplace({kind, key}, findings_.size());
    if (!is_new) {
        ++findings_[known->second].count;
        return;
    }
    if (findings_.size() == most_findings) {
        index_.erase(known);
        return;
    }
    findings_.push_back(
        {.kind = kind, .at = at, .cpu = where.cpu, .rip = where.rip(), .spa = spa, .what = what});
    if (on_new_) {
        on_new_(findings_.back());
    }
}

std::vector<finding> finding_log::all() const
{
    const std::scoped_lock lock(lock_);
    return findings_;
}

} // namespace rmpopt
