// SPDX-License-Identifier: GPL-2.0-or-later
// Finds lost optimisations: regions without assigned pages that some core still checks.
#include "base/format.h"
#include "watch/watch.h"

#include "base/cpu_list.h"

#include <algorithm>

namespace rmpopt
{

bool watch::uses_rmpopt() const
{
    return std::ranges::any_of(cores_, [](const core_record &c) { return c.was_enabled; });
}

bool watch::is_clean(std::size_t region) const
{
    const std::scoped_lock rmp_lock(m().rmp_lock());
    unsigned looked_at = 0;
    return hw::region_is_clean(m().rmp(), region * hw::region_1g, looked_at);
}

bool watch::is_left_alone(std::size_t region) const
{
    return region < mapped_.size() && !mapped_[region];
}

std::vector<std::size_t> watch::unmapped() const
{
    const std::scoped_lock lock(lock_);
    std::vector<std::size_t> out;
    for (std::size_t r = 0; r < regions_.size(); ++r) {
        if (is_left_alone(r)) {
            out.push_back(r);
        }
    }
    return out;
}

/// True when RMPOPT on some core has already reported, since the region's last change, that the
/// region cannot be optimised.
bool watch::known_to_fail(std::size_t region) const
{
    return std::ranges::any_of(cores_, [&](const core_record &c) {
        const verification &v = c.regions[region];
        return v.generation == regions_[region].generation && !v.optimised;
    });
}

std::string watch::cause_of_loss(unsigned core, std::size_t region) const
{
    const core_record &record = cores_[core];
    const hw::rmpopt_table &table = m().core(core).rmpopt;
    if (!table.enabled()) {
        return "RMPOPT_BASE is not enabled";
    }
    if (!table.in_window(region * hw::region_1g)) {
        return formatted("the window of RMPOPT_BASE {:#x} does not reach it", table.base());
    }
    if (record.regions[region].generation != 0) {
        return "the last RMPOPT came before the region's last change";
    }
    const bool others = std::ranges::any_of(
        cores_, [&](const core_record &c) { return c.regions[region].generation != 0; });
    return others ? "left out of every pass" : "no pass since SNP_INIT or since RMPOPT was enabled";
}

guest_time watch::unoptimised_since(unsigned core, std::size_t region) const
{
    return std::max(
        {regions_[region].changed_at, guest_end_at_, snp_init_at_, cores_[core].enabled_at});
}

/// Cores that have been without the region's bit for too long, by cause.
std::map<std::string, std::set<unsigned>> watch::losses_of(std::size_t region, const look &l) const
{
    std::map<std::string, std::set<unsigned>> out;
    for (unsigned c = 0; c < cores_.size(); ++c) {
        if (!is_offline(c) && l.is_over(unoptimised_since(c, region)) &&
            !m().core(c).rmpopt.test(region * hw::region_1g)) {
            out[cause_of_loss(c, region)].insert(c);
        }
    }
    return out;
}

/// While guests exist, a kernel may delay its passes, so nothing is lost yet.
void watch::look_for_lost_optimisations(look &l) const
{
    if (!firmware_.snp_init || !firmware_.asids.empty() || !firmware_.contexts.empty() ||
        !uses_rmpopt()) {
        return;
    }
    std::map<loss, lost_regions> regions;
    for (std::size_t r = 0; r < regions_.size(); ++r) {
        const auto losses = losses_of(r, l);
        if (losses.empty() || is_left_alone(r) || known_to_fail(r) || !is_clean(r)) {
            continue;
        }
        for (const auto &[cause, cores] : losses) {
            lost_regions &alike = regions[{cause, cores}];
            alike.numbers.push_back(r);
            for (const unsigned c : cores) {
                alike.since = std::max(alike.since, unoptimised_since(c, r));
            }
        }
    }
    for (const auto &[what, where] : regions) {
        const std::string cpus = cpu_list(what.cores);
        const bool one = where.numbers.size() == 1;
        l.found.push_back(
            {.kind = "lost-optimisation",
             .key = what.cause + cpus,
             .since = where.since,
             .spa = where.numbers.front() * hw::region_1g,
             .what = formatted("the region{} at {} GiB {} no assigned pages, but {} not optimised "
                               "on CPUs {}: {}",
                               one ? "" : "s", number_list(where.numbers), one ? "has" : "have",
                               one ? "is" : "are", cpus, what.cause)});
    }
}

void watch::look_for_unused(look &l) const
{
    if (!firmware_.snp_init || !m().rmpopt_is_possible() || uses_rmpopt() ||
        !l.is_over(snp_init_at_)) {
        return;
    }
    constexpr std::string_view text =
        "SNP is initialised, but RMPOPT_BASE was not enabled on any core";
    if (rmpopt_base_use_.empty()) {
        l.found.push_back(
            {.kind = "rmpopt-unused", .since = snp_init_at_, .what = std::string(text)});
    } else {
        l.found.push_back({.kind = "rmpopt-never-enabled",
                           .since = snp_init_at_,
                           .what = formatted("{}: the kernel has {}", text, rmpopt_base_use_)});
    }
}

} // namespace rmpopt
