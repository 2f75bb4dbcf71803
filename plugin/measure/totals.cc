// SPDX-License-Identifier: GPL-2.0-or-later
#include "measure/totals.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

namespace rmpopt
{

using nlohmann::ordered_json;

namespace
{

constexpr std::array accessor_names{"host", "guest", "snp-guest"};
static_assert(accessor_names.size() == cell_accessors);
constexpr std::array level_names{"store", "fill"};

template <class T> std::vector<T> minus(const std::vector<T> &a, const std::vector<T> &b)
{
    std::vector<T> out(a.size());
    std::ranges::transform(a, b, out.begin(), std::minus<>{});
    return out;
}

/// Sums over all cores and regions: [initiator][level][outcome].
std::array<std::uint64_t, vcpu_cells::per_region> sums(const totals &t)
{
    std::array<std::uint64_t, vcpu_cells::per_region> out{};
    for (std::size_t i = 0; i < t.cells.size(); ++i) {
        out[i % out.size()] += t.cells[i];
    }
    return out;
}

/// Checked, skipped, off: those of one initiator at one level.
std::span<const std::uint64_t> outcomes_of(std::span<const std::uint64_t> all, unsigned initiator,
                                           cell_level level)
{
    return all.subspan((std::size_t{initiator} * cell_levels + static_cast<unsigned>(level)) *
                           cell_outcomes,
                       cell_outcomes);
}

ordered_json estimate_json(std::span<const std::uint64_t> outcomes, const block_sums &b)
{
    const interval_estimate stores = estimate_stores(outcomes[0] + outcomes[1] + outcomes[2], b);
    ordered_json out{{"stores", std::llround(stores.value)},
                     {"stores_low", std::llround(stores.low)},
                     {"stores_high", std::llround(stores.high)},
                     {"skip_rate", nullptr},
                     {"low", nullptr},
                     {"high", nullptr},
                     {"blocks", b.blocks}};
    if (const auto rate = estimate_skip_rate(outcomes[0], outcomes[1], b)) {
        out["skip_rate"] = rate->value;
        out["low"] = rate->low;
        out["high"] = rate->high;
    }
    return out;
}

} // namespace

rmpopt_work rmpopt_work::operator-(const rmpopt_work &e) const
{
    return {executed - e.executed, optimised - e.optimised, scans - e.scans, cached - e.cached,
            scanned_2m - e.scanned_2m};
}

rmpopt_work rmpopt_work::operator+(const rmpopt_work &o) const
{
    return {executed + o.executed, optimised + o.optimised, scans + o.scans, cached + o.cached,
            scanned_2m + o.scanned_2m};
}

void tlb_work::add(const tlb_counters &c)
{
    walks += c.walks.load(std::memory_order_relaxed);
    l2_hits += c.l2_hits.load(std::memory_order_relaxed);
    stale += c.stale.load(std::memory_order_relaxed);
    for (unsigned i = 0; i < tlb_flushes; ++i) {
        flushes[i] += c.flushes[i].load(std::memory_order_relaxed);
    }
}

tlb_work tlb_work::operator-(const tlb_work &e) const
{
    tlb_work d{walks - e.walks, l2_hits - e.l2_hits, stale - e.stale, {}};
    for (unsigned i = 0; i < tlb_flushes; ++i) {
        d.flushes[i] = flushes[i] - e.flushes[i];
    }
    return d;
}

std::uint64_t modelled_cycles(const rmpopt_work &w)
{
    return static_cast<std::uint64_t>(
        std::llround(rmpopt_base_cycles * static_cast<double>(w.executed) +
                     rmpopt_entry_cycles * static_cast<double>(w.scanned_2m)));
}

totals::totals(unsigned cores_, unsigned regions_)
    : cores(cores_), regions(regions_),
      cells(std::size_t{cores_} * regions_ * vcpu_cells::per_region), rmpopt(cores_),
      rmpupdate(regions_), psmash(regions_)
{
}

void totals::add(unsigned core, const vcpu_cells &from)
{
    std::uint64_t *to = &cells[std::size_t{core} * regions * vcpu_cells::per_region];
    const auto counters = from.all();
    for (std::size_t i = 0; i < counters.size(); ++i) {
        to[i] += counters[i].load(std::memory_order_relaxed);
    }
    device += from.device.load(std::memory_order_relaxed);
    unresolved += from.unresolved.load(std::memory_order_relaxed);
}

totals totals::operator-(const totals &e) const
{
    totals d;
    d.cores = cores;
    d.regions = regions;
    d.cells = minus(cells, e.cells);
    d.device = device - e.device;
    d.unresolved = unresolved - e.unresolved;
    for (unsigned a = 0; a < cell_accessors; ++a) {
        d.blocks[a] = blocks[a] - e.blocks[a];
    }
    d.tlb = tlb - e.tlb;
    d.rmpopt = minus(rmpopt, e.rmpopt);
    d.rmpupdate = minus(rmpupdate, e.rmpupdate);
    d.psmash = minus(psmash, e.psmash);
    d.guests_launched = guests_launched - e.guests_launched;
    d.guests_ended = guests_ended - e.guests_ended;
    return d;
}

std::size_t totals::bytes() const
{
    return sizeof *this + cells.size() * sizeof cells[0] + rmpopt.size() * sizeof rmpopt[0] +
           (rmpupdate.size() + psmash.size()) * sizeof(entry_changes);
}

ordered_json cells_json(const totals &t)
{
    ordered_json out = ordered_json::array();
    for (std::size_t i = 0; i < t.cells.size(); i += cell_outcomes) {
        const auto o = std::span(t.cells).subspan(i, cell_outcomes);
        if (std::ranges::all_of(o, [](std::uint64_t n) { return n == 0; })) {
            continue;
        }
        const std::size_t cell = i / cell_outcomes;
        out.push_back({cell / cell_levels / cell_accessors / t.regions,
                       cell / cell_levels / cell_accessors % t.regions,
                       accessor_names[cell / cell_levels % cell_accessors],
                       level_names[cell % cell_levels], o[0], o[1], o[2]});
    }
    return out;
}

ordered_json estimates_json(const totals &t)
{
    ordered_json out = ordered_json::array();
    const auto all = sums(t);
    for (unsigned a = 0; a < cell_accessors; ++a) {
        const auto stores = outcomes_of(all, a, cell_level::store);
        if (std::reduce(stores.begin(), stores.end()) == 0) {
            continue;
        }
        ordered_json one{{"accessor", accessor_names[a]}};
        one.update(estimate_json(stores, t.blocks[a]));
        out.push_back(std::move(one));
    }
    return out;
}

namespace
{

/// Translations that came to be used for stores: what becomes of their RMP checks.
ordered_json fills_json(const totals &t)
{
    ordered_json out = ordered_json::array();
    const auto all = sums(t);
    for (unsigned a = 0; a < cell_accessors; ++a) {
        const auto o = outcomes_of(all, a, cell_level::fill);
        const std::uint64_t checked = o[0], skipped = o[1], off = o[2];
        if (checked + skipped + off == 0) {
            continue;
        }
        ordered_json rate;
        if (checked + skipped != 0) {
            rate = static_cast<double>(skipped) / static_cast<double>(checked + skipped);
        }
        out.push_back({{"accessor", accessor_names[a]},
                       {"checked", checked},
                       {"skipped", skipped},
                       {"off", off},
                       {"skip_rate", std::move(rate)}});
    }
    return out;
}

} // namespace

ordered_json work_json(const rmpopt_work &w)
{
    return {{"executed", w.executed}, {"optimised", w.optimised},   {"scans", w.scans},
            {"cached", w.cached},     {"scanned_2m", w.scanned_2m}, {"cycles", modelled_cycles(w)}};
}

ordered_json tlb_work_json(const totals &t)
{
    const tlb_work &w = t.tlb;
    ordered_json flushes = ordered_json::object();
    for (unsigned i = 0; i < tlb_flushes; ++i) {
        if (w.flushes[i] != 0) {
            flushes[std::string(flush_name(static_cast<tlb_flush>(i)))] = w.flushes[i];
        }
    }
    return {{"walks", w.walks},
            {"l2_hits", w.l2_hits},
            {"stale", w.stale},
            {"flushes", std::move(flushes)},
            {"fills", fills_json(t)}};
}

} // namespace rmpopt
