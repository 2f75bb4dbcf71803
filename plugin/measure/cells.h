// SPDX-License-Identifier: GPL-2.0-or-later
// Counters of RMP checks: by vCPU, 1 GB region, initiator and outcome. Two levels that are never
// mixed: stores, which software makes, and fills of a modelled TLB, at which hardware checks.
//
// Thread-safety: a vCPU's counters are written by the vCPU's thread alone and read by any.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

namespace rmpopt
{

/// guest: one that is not an SNP guest; those with other encryption are among them.
enum class cell_accessor : std::uint8_t { host, guest, snp_guest };
enum class cell_level : std::uint8_t { store, fill };
/// checked: hardware would look the RMP up. skipped: this core's RMPOPT table covers the region.
/// off: the core has SNP_EN clear.
enum class cell_outcome : std::uint8_t { checked, skipped, off };

inline constexpr unsigned cell_accessors = 3, cell_levels = 2, cell_outcomes = 3;

using cell_counter = std::atomic<std::uint64_t>;

/// By the only thread that writes the counter: no locked instruction.
inline void bump(cell_counter &c, std::uint64_t by = 1)
{
    c.store(c.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

/// One vCPU's counters. Regions are numbered by SPA >> 30.
class vcpu_cells
{
  public:
    explicit vcpu_cells(unsigned regions)
        : regions_(regions),
          counters_(std::make_unique<cell_counter[]>(std::size_t{regions} * per_region))
    {
    }

    unsigned regions() const { return regions_; }

    cell_counter &at(unsigned region, cell_accessor a, cell_level l, cell_outcome o)
    {
        return counters_[index(region, a, l, o)];
    }
    std::uint64_t get(unsigned region, cell_accessor a, cell_level l, cell_outcome o) const
    {
        return counters_[index(region, a, l, o)].load(std::memory_order_relaxed);
    }

    std::span<const cell_counter> all() const
    {
        return {counters_.get(), std::size_t{regions_} * per_region};
    }

    cell_counter device{0};     ///< stores to devices or ROM
    cell_counter unresolved{0}; ///< stores of which QEMU could not tell where they went

    static constexpr unsigned per_region = cell_accessors * cell_levels * cell_outcomes;

    std::size_t bytes() const
    {
        return sizeof *this + std::size_t{regions_} * per_region * sizeof(cell_counter);
    }

  private:
    static std::size_t index(unsigned region, cell_accessor a, cell_level l, cell_outcome o)
    {
        return ((std::size_t{region} * cell_accessors + static_cast<unsigned>(a)) * cell_levels +
                static_cast<unsigned>(l)) *
                   cell_outcomes +
               static_cast<unsigned>(o);
    }

    unsigned regions_;
    std::unique_ptr<cell_counter[]> counters_;
};

} // namespace rmpopt
