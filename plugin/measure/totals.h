// SPDX-License-Identifier: GPL-2.0-or-later
// All counts, by core: at one moment, or the difference between two. Plain values, not thread-safe.
#pragma once

#include "measure/cells.h"
#include "measure/estimate.h"
#include "measure/tlb_model.h"

#include <nlohmann/json.hpp>
#include <vector>

namespace rmpopt
{

/// How much work RMPOPT was for one core, or for all.
struct rmpopt_work {
    std::uint64_t executed = 0, optimised = 0, scans = 0, cached = 0, scanned_2m = 0;

    rmpopt_work operator-(const rmpopt_work &e) const;
    rmpopt_work operator+(const rmpopt_work &o) const;
    bool operator==(const rmpopt_work &) const = default;
};

/// A model of the cost of RMPOPT in cycles: a base for each execution, and a cost for each 2 MB
/// entry that it reads. From AMD's measurements (2026-03-04, linux-crypto): 60 at the least, 5,200
/// to 5,700 on average where most regions are clean, so that all 512 entries are read.
inline constexpr double rmpopt_base_cycles = 60, rmpopt_entry_cycles = 10.6;
std::uint64_t modelled_cycles(const rmpopt_work &w);

/// Changes of RMP entries in one region.
struct entry_changes {
    std::uint64_t count = 0, failed = 0;
    bool operator==(const entry_changes &) const = default;
    entry_changes operator-(const entry_changes &e) const
    {
        return {count - e.count, failed - e.failed};
    }
};

/// What the modelled TLBs did, together.
struct tlb_work {
    std::uint64_t walks = 0, l2_hits = 0, stale = 0;
    std::array<std::uint64_t, tlb_flushes> flushes{};

    void add(const tlb_counters &c);
    tlb_work operator-(const tlb_work &e) const;
};

struct totals {
    unsigned cores = 0, regions = 0;
    std::vector<std::uint64_t> cells; ///< [core][region][initiator][level][outcome]
    std::uint64_t device = 0, unresolved = 0;
    std::array<block_sums, cell_accessors> blocks{};
    tlb_work tlb;
    std::vector<rmpopt_work> rmpopt;              ///< by core
    std::vector<entry_changes> rmpupdate, psmash; ///< by region
    std::uint64_t guests_launched = 0, guests_ended = 0;

    totals() = default;
    totals(unsigned cores, unsigned regions);

    void add(unsigned core, const vcpu_cells &from);
    totals operator-(const totals &earlier) const;

    std::size_t bytes() const;
};

/// Cells that are not all zero: [core, gb, initiator, level, checked, skipped, off].
nlohmann::ordered_json cells_json(const totals &t);
/// Stores and skip rate of each initiator that has stores.
nlohmann::ordered_json estimates_json(const totals &t);
nlohmann::ordered_json work_json(const rmpopt_work &w);
/// What the modelled TLBs did, and the RMP checks of each initiator that comes with it.
nlohmann::ordered_json tlb_work_json(const totals &t);

} // namespace rmpopt
