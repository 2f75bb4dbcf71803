// SPDX-License-Identifier: GPL-2.0-or-later
// Where RMP entries stand: contiguous (RMP_BASE/RMP_END) and segmented (RMP_CFG, RST) tables over
// system memory. The table is guest RAM, as on hardware; nothing is shadowed.
//
// Sources: APM vol. 2, 15.36.4 (contiguous), 15.36.22 (segmented).
//
// Thread-safety: configure() only while no other thread uses the table. load() may race store();
// each 8-byte half is atomic and the half with the assigned bit is written last. Read-modify-write
// sequences need the machine's RMP lock.
#pragma once

#include "hw-model/base/memory_view.h"
#include "hw-model/rmp/rmp_entry.h"

#include <atomic>
#include <optional>

namespace rmpopt::hw
{

enum class rmp_layout : std::uint8_t { none, contiguous, segmented };

inline constexpr std::uint64_t rmp_bookkeeping_bytes = 16ull * 1024;
inline constexpr std::uint64_t rst_bytes = 4096;
inline constexpr unsigned rst_entries = 512;
inline constexpr std::uint64_t rmp_entry_bytes = 16;
/// Alignment that firmware asks of RMP_BASE, RMP_END + 1 and of each segment.
inline constexpr std::uint64_t rmp_alignment = 1ull << 20;

/// The registers that define the table, as the MSRs hold them.
struct rmp_config {
    rmp_layout layout = rmp_layout::none;
    spa_t base = 0;             ///< RMP_BASE
    spa_t end = 0;              ///< RMP_END, inclusive; contiguous only
    unsigned segment_shift = 0; ///< RMP_CFG[13:8]; segmented only
};

/// What the CPU makes of the segment table (CPUID 8000_0025 EBX).
struct rst_rules {
    unsigned entries = rst_entries; ///< those that it looks at: all, or as many as it can cache
    unsigned phys_bits = 52;        ///< physical address width; bits of an entry above are reserved

    bool operator==(const rst_rules &) const = default;
};

/// A run of system memory whose entries stand in one run of table memory.
struct rmp_extent {
    spa_t covered = 0; ///< first covered address
    std::uint64_t covered_bytes = 0;
    spa_t table = 0; ///< address of the first entry
};

class rmp_table
{
  public:
    rmp_table() = default;
    explicit rmp_table(const memory_view &memory) : memory_(&memory) {}

    /// Reads the segment table (segmented) and fixes the extents. Covered memory is cut where the
    /// table itself leaves RAM. Returns false when not a single entry stands in RAM.
    bool configure(const rmp_config &config, const rst_rules &rules = {});

    /// Every segment that the table defines lies inside the physical address space.
    static bool segments_fit(const memory_view &memory, const rmp_config &config,
                             const rst_rules &rules);

    const rmp_config &config() const { return config_; }
    std::span<const rmp_extent> extents() const { return extents_; }
    std::uint64_t covered_bytes() const;

    /// Address of the entry of the page that holds `spa`, or nothing when the page is not covered
    /// (then it counts as hypervisor-owned: APM vol. 2, 15.36.4).
    std::optional<spa_t> entry_address(spa_t spa) const;
    bool covers(spa_t spa) const { return slot(spa) != nullptr; }
    /// The segment table's entry for `spa` has reserved bits set, so nothing is covered by it and
    /// using it faults.
    bool has_reserved_bits(spa_t spa) const noexcept;

    /// The entry of the page that holds `spa`; a hypervisor-owned one when not covered.
    rmp_entry load(spa_t spa) const;
    /// Precondition: covers(spa).
    void store(spa_t spa, const rmp_entry &entry) const;

    /// Calls `f(spa)` for each assigned page, in the order of the extents. Looks at nothing but the
    /// assigned bits.
    template <class F> void for_each_assigned(F f) const
    {
        for (std::size_t i = 0; i < extents_.size(); ++i) {
            for (std::uint64_t page = 0; page < extents_[i].covered_bytes / page_4k; ++page) {
                const std::atomic_ref lo(host_[i][page * (rmp_entry_bytes / sizeof *host_[i])]);
                if ((lo.load(std::memory_order_relaxed) & rmp_assigned_bit) != 0) {
                    f(extents_[i].covered + page * page_4k);
                }
            }
        }
    }

    /// All memory that the table occupies: bookkeeping, RST, entries. 4 KB aligned.
    std::vector<spa_range> table_memory() const;

  private:
    std::uint64_t *slot(spa_t spa) const;
    bool configure_contiguous();
    bool configure_segmented(const rst_rules &rules);
    bool add_extent(rmp_extent extent);

    const memory_view *memory_ = nullptr;
    rmp_config config_{};
    std::vector<rmp_extent> extents_;
    std::vector<spa_range> reserved_;   ///< segments whose entry has reserved bits set; mostly none
    std::vector<std::uint64_t *> host_; ///< host address of each extent's first entry
};

} // namespace rmpopt::hw
